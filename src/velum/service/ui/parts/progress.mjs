// @ts-check
import { h } from './dom.mjs';

/** A bar with a sentence under it. */
export class VelumProgress extends HTMLElement {
  #bar = h('progress', { max: 1 });
  #text = h('span', { class: 'quiet small' });

  connectedCallback() {
    if (!this.firstChild) this.append(this.#bar, this.#text);
  }

  /**
   * @param {number | null} share 0 to 1; null: not known
   * @param {string} text
   * @param {string} [label] what it is the progress of
   */
  set(share, text, label = text) {
    if (share === null) this.#bar.removeAttribute('value');
    else this.#bar.value = share;
    this.#bar.setAttribute('aria-label', label);
    this.#text.textContent = text;
  }
}
customElements.define('velum-progress', VelumProgress);

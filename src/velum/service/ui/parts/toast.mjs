// @ts-check
import { h } from './dom.mjs';

const SECONDS = 7;

/** What has happened: shown for a while, and read out by screen readers. */
export class VelumToast extends HTMLElement {
  connectedCallback() {
    this.setAttribute('role', 'status');
    this.setAttribute('aria-live', 'polite');
  }

  /**
   * @param {string} text
   * @param {'info' | 'bad'} [kind]
   */
  show(text, kind = 'info') {
    const note = h('p', { class: `toast ${kind}` }, text);
    this.append(note);
    setTimeout(() => note.remove(), SECONDS * 1000 * (kind === 'bad' ? 2 : 1));
  }
}
customElements.define('velum-toast', VelumToast);

/**
 * Tell something from anywhere.
 * @param {string} text
 * @param {'info' | 'bad'} [kind]
 */
export function tell(text, kind = 'info') {
  let place = /** @type {VelumToast | null} */ (document.querySelector('velum-toast'));
  if (!place) document.body.append(place = /** @type {VelumToast} */ (document.createElement('velum-toast')));
  place.show(text, kind);
}

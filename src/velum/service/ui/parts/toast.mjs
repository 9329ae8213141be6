// @ts-check
import { h } from './dom.mjs';
import { errorDetail, errorText } from './error_text.mjs';
import { t } from '../i18n.mjs';

const SECONDS = 5;

/** What has happened: shown for a while, and read out by screen readers. */
export class VelumToast extends HTMLElement {
  connectedCallback() {
    this.setAttribute('role', 'status');
    this.setAttribute('aria-live', 'polite');
  }

  /**
   * @param {string} text
   * @param {'info' | 'bad'} [kind]
   * @param {string} [detail] behind the text
   */
  show(text, kind = 'info', detail = '') {
    const more = detail ? h('details', { class: 'small' }, h('summary', {}, t('error.more')), h('p', { lang: 'en' }, detail)) : '';
    const note = h('div', { class: `toast ${kind}` }, h('p', {}, text), more);
    // The same again is no news.
    for (const other of [...this.children]) if (other.textContent === note.textContent) other.remove();
    this.append(note);
    const end = () => (more && more.open ? setTimeout(end, SECONDS * 1000) : note.remove());
    setTimeout(end, SECONDS * 1000 * (kind === 'bad' ? 2 : 1));
  }
}
customElements.define('velum-toast', VelumToast);

/**
 * Tell something from anywhere.
 * @param {string} text
 * @param {'info' | 'bad'} [kind]
 * @param {string} [detail]
 */
export function tell(text, kind = 'info', detail = '') {
  let place = /** @type {VelumToast | null} */ (document.querySelector('velum-toast'));
  if (!place) document.body.append(place = /** @type {VelumToast} */ (document.createElement('velum-toast')));
  place.show(text, kind, detail);
}

/** Tell what went wrong. @param {unknown} error @param {string} [text] */
export const tellError = (error, text = errorText(error)) => tell(text, 'bad', errorDetail(error));

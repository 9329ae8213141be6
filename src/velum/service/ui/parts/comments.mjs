// @ts-check
/** What reviewers say to each other about a file; with it, a result is sent back. */
import { getJson, send } from '../api.mjs';
import { clock, t } from '../i18n.mjs';
import { h } from './dom.mjs';
import { tell, tellError } from './toast.mjs';

/** @typedef {{ who: string, at: number, text: string, frame: number | null, kind: 'comment' | 'sent back' | 'assigned' | 'approved' | 'corrected' }} Comment */

/** Event: `look` with a frame. */
export class VelumComments extends HTMLElement {
  /** The frame or page that is shown, and how it is called. @type {() => { frame: number, name: string } | null} */
  place = () => null;
  #path = '';
  #list = h('ul', { class: 'comments' });
  #text = h('textarea', { rows: 2, maxLength: 2000, 'aria-label': t('comments.new'), placeholder: t('comments.new') });
  #here = h('input', { type: 'checkbox', checked: true });
  #hereText = h('span');
  #summary = h('summary');

  /** @param {string} id of the job @param {AbortSignal} signal */
  async open(id, signal) {
    this.#path = `v1/jobs/${encodeURIComponent(id)}/comments`;
    this.replaceChildren(h('details', {}, this.#summary, this.#list, this.#text, h('label', { class: 'check small' }, this.#here, this.#hereText),
      h('div', { class: 'row' }, h('button', { type: 'button', onclick: () => this.#say(false) }, t('comments.add')), h('button', { type: 'button', class: 'danger', onclick: () => this.#say(true) }, t('comments.back')))));
    this.addEventListener('toggle', () => this.#follow(), { capture: true });
    this.#text.addEventListener('focus', () => this.#follow());
    try {
      this.#show((await getJson(this.#path, signal)).comments);
    } catch (error) {
      if (!signal.aborted) this.replaceChildren(); // a key that may only hide has no part in reviews
    }
  }

  #follow() {
    const place = this.place();
    /** @type {HTMLElement} */ (this.#here.parentElement).hidden = !place;
    this.#hereText.textContent = place ? t('comments.here', { name: place.name }) : '';
  }

  /** @param {Comment[]} comments */
  #show(comments) {
    this.#summary.textContent = t('comments', { n: comments.filter(({ kind }) => kind === 'comment' || kind === 'sent back').length });
    if (comments.some(({ kind }) => kind === 'sent back')) /** @type {HTMLDetailsElement} */ (this.firstChild).open = true;
    this.#list.replaceChildren(...comments.map(({ who, at, text, frame, kind }) => h('li', {},
      h('div', { class: 'small quiet' }, `${who === 'anonymous' ? '' : `${who} · `}${clock(at)}`),
      h('div', { class: kind === 'sent back' ? 'warn-text' : '' }, kind === 'assigned' ? t(text ? 'comments.assigned' : 'comments.unassigned', { who: text }) : kind === 'sent back' ? t('comments.sentback', { why: text }) : kind === 'comment' ? text : t(`did.${kind}`)),
      frame === null ? '' : h('button', { type: 'button', class: 'plain small', onclick: () => this.dispatchEvent(new CustomEvent('look', { detail: frame })) }, t('comments.look')))));
  }

  /** @param {boolean} back */
  async #say(back) {
    const text = this.#text.value.trim();
    if (!text) {
      tell(t(back ? 'comments.why' : 'comments.empty'));
      return this.#text.focus();
    }
    try {
      const frame = this.#here.checked ? this.place()?.frame ?? null : null;
      this.#show((await send('POST', this.#path, { text, frame, send_back: back })).comments);
      this.#text.value = '';
    } catch (error) {
      tellError(error);
    }
  }
}
customElements.define('velum-comments', VelumComments);

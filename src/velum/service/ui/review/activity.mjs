// @ts-check
/** Who did what with which file, the newest first. */
import { getJson } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { errorNote } from '../parts/error_text.mjs';
import { isVideo, loadFileTypes } from '../start/file_types.mjs';
import { language, t } from '../i18n.mjs';

/** @typedef {{ job: string, name: string, who: string, at: number, kind: string, text: string, frame: number | null }} Step */

const PAGE = 100;

/** @type {Record<string, string>} */
const BADGE = { approved: 'good', 'sent back': 'bad', failed: 'bad', dead: 'bad', corrected: 'warn' };

class VelumActivity extends HTMLElement {
  #gone = new AbortController();
  #list = h('div', { class: 'stack activity', 'aria-live': 'polite' });
  #more = h('button', { type: 'button', hidden: true, onclick: () => this.#load() }, t('jobs.more'));
  #day = '';
  /** @type {number | null} */
  #before = null;

  connectedCallback() {
    this.className = 'stack';
    this.append(h('div', {}, h('a', { href: '#/review', class: 'small' }, t('video.back')), h('h1', {}, t('nav.activity')), h('p', { class: 'quiet' }, t('activity.sub'))), this.#list, h('div', { class: 'row' }, this.#more));
    this.#load();
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  async #load() {
    const { signal } = this.#gone;
    try {
      await loadFileTypes(signal);
      const { steps, before } = await getJson(`v1/reviews/activity?limit=${PAGE}${this.#before === null ? '' : `&before=${this.#before}`}`, signal);
      this.#before = before;
      this.#more.hidden = before === null;
      if (!steps.length && !this.#list.firstChild) this.#list.append(h('div', { class: 'empty' }, h('h2', {}, t('activity.none')), h('p', {}, t('jobs.none.how'))));
      for (const step of /** @type {Step[]} */ (steps)) this.#add(step);
    } catch (error) {
      if (!signal.aborted) this.#list.append(errorNote(error));
    }
  }

  /** @param {Step} step */
  #add(step) {
    const at = new Date(step.at * 1000), day = at.toLocaleDateString(language, { dateStyle: 'full' });
    if (day !== this.#day) this.#list.append(h('section', { class: 'panel' }, h('h2', {}, day), h('ul', {})));
    this.#day = day;
    const { kind, text, job, name, who, frame } = step, video = isVideo(name);
    const place = frame === null ? '' : ` (${video ? t('video.frame', { at: frame + 1 }) : t('document.page', { at: frame + 1 })})`;
    this.#list.lastElementChild?.lastElementChild?.append(h('li', {},
      h('time', { class: 'number small quiet', dateTime: at.toISOString() }, at.toLocaleTimeString(language, { timeStyle: 'short' })),
      h('div', {}, h('a', { href: `#/${video ? 'review' : 'jobs'}/${job}` }, name), ' ', h('span', { class: `badge ${BADGE[kind] ?? ''}` }, t(kind === 'assigned' && !text ? 'did.freed' : `did.${kind}`, { who: text })),
        who && who !== 'anonymous' ? h('span', { class: 'small' }, ` ${who}`) : '',
        text && kind !== 'assigned' ? h('div', { class: 'small' }, text, place) : '')));
  }
}
customElements.define('velum-activity', VelumActivity);

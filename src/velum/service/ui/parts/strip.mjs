// @ts-check
/** The files around the one that is shown, with buttons and keys to the previous and the next. */
import { getJson } from '../api.mjs';
import { t } from '../i18n.mjs';
import { addressOf, waiting } from '../review/queue.mjs';
import { isVideo, loadFileTypes } from '../start/file_types.mjs';
import { h, icon, ICONS } from './dom.mjs';
import { thumbnail } from './thumbnail.mjs';

const AROUND = 30;

/** @typedef {import('../api.mjs').Job} Job */

export class VelumStrip extends HTMLElement {
  #gone = new AbortController();

  /** @param {string} id of the job that is shown @param {boolean} queue whether its neighbours in the queue are meant */
  async show(id, queue) {
    this.setAttribute('role', 'navigation');
    this.setAttribute('aria-label', t('strip'));
    const { signal } = this.#gone;
    try {
      await loadFileTypes(signal);
      /** @type {{ job: Job, href: string }[]} */
      const all = queue ? (await waiting(signal)).reviews.map((review) => ({ job: review.job, href: addressOf(review) }))
        : (await getJson('v1/jobs?state=done&limit=200', signal)).jobs.map((/** @type {Job} */ job) => ({ job, href: `#/${isVideo(job.name) ? 'review' : 'jobs'}/${job.id}` }));
      const at = all.findIndex(({ job }) => job.id === id);
      if (at < 0 || all.length < 2) return;
      this.#draw(all.slice(Math.max(0, at - AROUND), at + AROUND + 1), id, all[at - 1]?.href, all[at + 1]?.href);
    } catch (error) {
      if (!signal.aborted) this.replaceChildren(); // without its neighbours, a file can be looked at all the same
    }
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  /** @param {{ job: Job, href: string }[]} near @param {string} id @param {string | undefined} back @param {string | undefined} on */
  #draw(near, id, back, on) {
    /** @param {string} name @param {string | undefined} href @param {string} shape @param {string} key */
    const step = (name, href, shape, key) => h('button', { type: 'button', disabled: !href, 'aria-label': t(`strip.${name}`), title: `${t(`strip.${name}`)} (${key})`, onclick: () => { location.hash = href ?? ''; } }, icon(shape));
    const links = near.map(({ job, href }) => h('a', { href, title: job.name, 'aria-label': job.name, 'aria-current': job.id === id ? 'true' : null }, thumbnail(job)));
    this.replaceChildren(step('back', back, ICONS.back, '['), h('div', { class: 'strip-row' }, ...links), step('on', on, ICONS.on, ']'));
    const shown = links[near.findIndex(({ job }) => job.id === id)], row = /** @type {HTMLElement} */ (this.children[1]);
    if (shown) row.scrollLeft = shown.offsetLeft - row.clientWidth / 2;
    addEventListener('keydown', (event) => {
      const place = /** @type {HTMLElement} */ (event.target), to = { '[': back, ']': on }[event.key];
      if (!to || place.closest('input:not([type=checkbox], [type=range]), select, textarea, dialog')) return;
      event.preventDefault();
      location.hash = to;
    }, { signal: this.#gone.signal });
  }
}
customElements.define('velum-strip', VelumStrip);

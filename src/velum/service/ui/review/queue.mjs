// @ts-check
/** The queue of results that wait for whoever looks at the page, and the button that goes through it. */
import { getJson, send } from '../api.mjs';
import { ask } from '../parts/dialog.mjs';
import { h } from '../parts/dom.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { isVideo, loadFileTypes } from '../start/file_types.mjs';
import { t } from '../i18n.mjs';

/** @typedef {{ job: import('../api.mjs').Job, result: string, risk: number, why: string[], approved: { who: string, at: number }[], undecided: number | null, assignee: string | null, sent_back: string | null }} Review */

const MOST = 500;
const PAUSE_MS = 600;

/** Jobs that the present way through the queue is confined to; all, while there is none. @type {ReadonlySet<string>} */
let confined = new Set();

/** Confine the way through the queue to these jobs; none: to none of them. @param {string[]} ids */
export function reviewOnly(ids) {
  confined = new Set(ids);
}

/**
 * What nobody, or too few, have approved, and not the one who asks; those to doubt first at the top.
 * @param {AbortSignal} signal
 * @returns {Promise<{ reviews: Review[], eyes: number, caller: string }>}
 */
export async function waiting(signal) {
  await loadFileTypes(signal); // for addressOf
  const { reviews, eyes, caller } = await getJson(`v1/reviews?limit=${MOST}`, signal);
  return { eyes, caller, reviews: /** @type {Review[]} */ (reviews).filter(({ job }) => !confined.size || confined.has(job.id)).filter(({ approved }) => approved.length < eyes && approved.every(({ who }) => who !== caller)) };
}

/** @param {Review[]} chosen */
export const approve = (chosen) => send('POST', 'v1/reviews', { approve: chosen.map(({ job, result }) => ({ job: job.id, result })) });

/** Where a result is looked at on the way through the queue. @param {Review} review */
export const addressOf = ({ job }) => `#/${isVideo(job.name) ? 'review' : 'jobs'}/${job.id}/queue`;

/** A button that approves a job's result and goes on to the next; nothing where it is not in the queue. */
export class VelumApprove extends HTMLElement {
  /** How many decisions are still to be made. */
  open = () => 0;
  #off = false;
  #told = '';
  #timer = 0;
  #paused = false;

  /**
   * Be for the result that is there now; to be called before it is looked at: what comes later is not approved with it.
   * @param {string} id of the job @param {AbortSignal} signal
   */
  async renew(id, signal) {
    this.#told = '';
    const { reviews } = await waiting(signal), at = reviews.findIndex(({ job }) => job.id === id);
    const next = reviews[at + 1] ?? reviews.find((_, i) => i !== at);
    this.replaceChildren(...(at < 0 ? [] : [h('button', { type: 'button', class: 'primary', disabled: this.#off, title: t('review.left', { n: reviews.length }), onclick: () => this.#approve(reviews[at], next) }, t(next ? 'review.approve.next' : 'review.approve'))]));
  }

  set disabled(/** @type {boolean} */ off) {
    this.#off = off;
    const button = this.querySelector('button');
    if (button) button.disabled = off;
  }

  /** While a result is made anew, there is none that was seen. */
  set paused(/** @type {boolean} */ paused) {
    this.#paused = paused;
    if (paused) clearTimeout(this.#timer);
  }

  /** Record that all of the result was seen, and what is left to decide. @param {string} id of the job */
  view(id) {
    const undecided = this.open(), told = `${id} ${undecided}`, first = !this.#told;
    if (told === this.#told || this.#paused) return;
    this.#told = told;
    clearTimeout(this.#timer);
    // Not after each of many keys: a little after the last one.
    this.#timer = setTimeout(() => send('POST', 'v1/reviews/views', { job: id, undecided }).catch(() => { this.#told = ''; }), first ? 0 : PAUSE_MS);
  }

  /** @param {Review} review @param {Review | undefined} next */
  async #approve(review, next) {
    const n = this.open();
    if (n && !await ask({ title: t('review.open', { n }), body: [h('p', {}, t('review.open.what'))], ok: t('review.anyway'), cancel: t('review.goon'), careful: true })) return;
    try {
      await approve([review]);
      tell(t('review.approved', { n: 1 }));
      location.hash = next ? addressOf(next) : '#/review';
    } catch (error) {
      tellError(error);
    }
  }
}
customElements.define('velum-approve', VelumApprove);

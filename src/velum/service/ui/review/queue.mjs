// @ts-check
/** The queue of results that wait for whoever looks at the page, and the button that goes through it. */
import { getJson, send } from '../api.mjs';
import { ask } from '../parts/dialog.mjs';
import { h } from '../parts/dom.mjs';
import { said } from '../parts/said.mjs';
import { tell } from '../parts/toast.mjs';
import { isVideo } from '../start/kinds.mjs';
import { t } from '../texts.mjs';

/** @typedef {{ job: import('../api.mjs').Job, result: string, risk: number, why: string[], approved: { who: string, at: number }[] }} Review */

const MOST = 500;

/**
 * What nobody, or too few, have approved, and not the one who asks; those to doubt first at the top.
 * @param {AbortSignal} signal
 * @returns {Promise<{ reviews: Review[], eyes: number }>}
 */
export async function waiting(signal) {
  const { reviews, eyes, caller } = await getJson(`v1/reviews?limit=${MOST}`, signal);
  return { eyes, reviews: /** @type {Review[]} */ (reviews).filter(({ approved }) => approved.length < eyes && approved.every(({ who }) => who !== caller)) };
}

/** @param {Review[]} chosen */
export const approve = (chosen) => send('POST', 'v1/reviews', { approve: chosen.map(({ job, result }) => ({ job: job.id, result })) });

/** Where a result is looked at on the way through the queue. @param {Review} review */
export const addressOf = ({ job }) => `#/${isVideo(job.name) ? 'review' : 'jobs'}/${job.id}/queue`;

/**
 * A button that approves a job's result as it is now, and goes on to the next; none where it is not in the queue.
 * @param {string} id of the job @param {AbortSignal} signal @param {() => number} [open] tells how many decisions are still to be made
 */
export async function approval(id, signal, open = () => 0) {
  const { reviews } = await waiting(signal), at = reviews.findIndex(({ job }) => job.id === id);
  if (at < 0) return undefined;
  const next = reviews[at + 1] ?? reviews.find((_, i) => i !== at);
  const button = h('button', { type: 'button', title: t('review.left', { n: reviews.length }), onclick: async () => {
    const n = open();
    if (n && !await ask({ title: t('review.open', { n }), body: [h('p', {}, t('review.open.what'))], ok: t('review.approve') })) return;
    try {
      await approve([reviews[at]]);
      tell(t('review.approved', { n: 1 }));
      location.hash = next ? addressOf(next) : '#/review';
    } catch (error) {
      tell(said(error), 'bad');
    }
  } }, t(next ? 'review.approve.next' : 'review.approve'));
  return button;
}

// @ts-check
/** Until when the original of a job is kept, and a button that has it kept for another day. */
import { send } from '../api.mjs';
import { clock, t } from '../i18n.mjs';
import { h } from './dom.mjs';
import { tellError } from './toast.mjs';

const DAY = 86_400;

/** @typedef {import('../api.mjs').Job} Job */

/** @param {Job} job */
export const keptText = (job) => (job.source_until === null ? '' : job.source_until * 1000 < Date.now() ? t('kept.soon') : t('kept.until', { at: clock(job.source_until) }));

/** @param {Job} job @returns {HTMLElement} */
export function keptNote(job) {
  const place = h('span', { class: 'kept small quiet' });
  const show = (/** @type {Job} */ now) => place.replaceChildren(...(now.source_until === null ? [] : [keptText(now), ' ', h('button', {
    type: 'button', class: 'plain small', title: t('kept.longer.how'), onclick: async (/** @type {Event} */ event) => {
      /** @type {HTMLButtonElement} */ (event.currentTarget).disabled = true;
      try {
        show(await send('POST', `v1/jobs/${job.id}/keep`, { seconds: Math.ceil(Math.max(now.source_until ?? 0, Date.now() / 1000) + DAY - Date.now() / 1000) }));
      } catch (error) {
        tellError(error);
        show(now);
      }
    },
  }, t('kept.longer'))]));
  show(job);
  return place;
}

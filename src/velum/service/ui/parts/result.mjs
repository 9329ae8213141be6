// @ts-check
/** The file that a job made, saved with all corrections in it: one that lacks some shows who was hidden by hand. */
import { follow, getJson, save, send } from '../api.mjs';
import { ask } from './dialog.mjs';
import { h } from './dom.mjs';
import { errorText } from './error_text.mjs';
import { tell } from './toast.mjs';
import { t } from '../i18n.mjs';

/** @typedef {import('../api.mjs').Job} Job */

/**
 * Have the browser save a job's result. Corrections that it lacks are applied first, when the user agrees.
 * @param {string} id
 * @param {(() => Promise<boolean>) | null} [apply] makes it anew with the corrections of the page; null where it has none
 */
export async function saveResult(id, apply = null) {
  try {
    if (apply ? !await agreed() || !await apply() : !await applyPending([id])) return;
    const job = await jobOf(id);
    await save(`${pathOf(id)}/result`, job.result_name ?? job.name);
  } catch (error) {
    tell(errorText(error), 'bad');
  }
}

/**
 * Make anew what lacks corrections, when the user agrees; false when not.
 * @param {string[]} ids
 */
export async function applyPending(ids) {
  const pending = (await Promise.all(ids.map(jobOf))).filter(({ corrections_pending: lacks }) => lacks);
  if (!pending.length) return true;
  if (!await agreed()) return false;
  for (const { id } of pending) {
    await send('POST', `${pathOf(id)}/render`);
    const job = await follow(id, () => {}, new AbortController().signal);
    if (job?.state !== 'done') throw new Error(job?.error?.message ?? t('photo.deleted'));
  }
  return true;
}

const agreed = () => ask({ title: t('result.pending'), body: [h('p', {}, t('result.pending.what'))], ok: t('result.pending.ok') });

/** @param {string} id */
const pathOf = (id) => `v1/jobs/${encodeURIComponent(id)}`;

/** @param {string} id @returns {Promise<Job>} */
const jobOf = (id) => getJson(pathOf(id));

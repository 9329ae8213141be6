// @ts-check
/** The file that a job made, saved with all corrections in it: one that lacks some shows who was hidden by hand. */
import { follow, getJson, request, save, send } from '../api.mjs';
import { ask } from './dialog.mjs';
import { h } from './dom.mjs';
import { jobProblem } from './error_text.mjs';
import { tellError } from './toast.mjs';
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
    tellError(error);
  }
}

/**
 * Make anew what lacks corrections, when the user agrees; false when not.
 * @param {string[]} ids
 */
export async function applyPending(ids) {
  const pending = (await Promise.all(ids.map(jobOf))).filter(({ corrections_pending: lacks, drafted }) => lacks || drafted !== null);
  if (!pending.length) return true;
  if (!await agreed()) return false;
  for (const { id, drafted } of pending) {
    await renderDraft(id, drafted !== null);
    const job = await follow(id, () => {}, new AbortController().signal);
    if (job?.state !== 'done') throw jobProblem(job);
  }
  return true;
}

/** Have a job made anew with what its draft says. @param {string} id @param {boolean} [drafted] whether there is one */
export async function renderDraft(id, drafted = true) {
  const audio = drafted ? await applyDraft(id) : undefined;
  await send('POST', `${pathOf(id)}/render${audio ? `?audio=${audio}` : ''}`);
}

/** Make the regions of a job what its draft says. @param {string} id @returns {Promise<string | undefined>} what is done with the audio, if that changes */
async function applyDraft(id) {
  const answer = await request(`${pathOf(id)}/draft`);
  if (answer.status === 204) return undefined;
  const { body } = await answer.json(), regions = await request(`${pathOf(id)}/regions`);
  const file = await regions.json(), tag = regions.headers.get('etag');
  const tracks = await import('../video/tracks.mjs');
  const corrected = body.pages
    ? { ...file, frames: (file.frames.length ? file.frames : [{ index: 0, regions: [] }]).map((/** @type {any} */ frame, /** @type {number} */ i) => (body.pages[i] ? { ...frame, regions: body.pages[i] } : frame)) }
    : tracks.fileOf(file, tracks.withEdits(tracks.tracksOf(file), body));
  await request(`${pathOf(id)}/regions`, { method: 'PUT', json: corrected, headers: tag ? { 'if-match': tag } : {} });
  return body.audio;
}

const agreed = () => ask({ title: t('result.pending'), body: [h('p', {}, t('result.pending.what'))], ok: t('result.pending.ok') });

/** @param {string} id */
const pathOf = (id) => `v1/jobs/${encodeURIComponent(id)}`;

/** @param {string} id @returns {Promise<Job>} */
const jobOf = (id) => getJson(pathOf(id));

// @ts-check
/** What to tell of an error: one sentence in the reader's language, and behind it what the service says. */
import { Problem } from '../api.mjs';
import { h } from './dom.mjs';
import { t } from '../i18n.mjs';

const KNOWN = [
  'BadInput', 'BadPlan', 'LimitExceeded', 'Unavailable', 'NotHidden', 'NotFound', 'Expired', 'Conflict', 'Overtaken', 'Busy', 'TooSlow',
  'Denied', 'NotKnown', 'Deleted',
];

/** @param {unknown} error */
export function errorText(error) {
  if (!(error instanceof Problem)) return t('failed');
  if (error.status === 0) return t('failed.network');
  return t(`error.${KNOWN.includes(error.code) ? error.code : 'other'}`);
}

/** @param {unknown} error what the service, or the browser, says of it; empty where that tells nothing more */
export const errorDetail = (error) => (error instanceof Problem ? (error.status && error.code !== 'Deleted' ? error.message : '') : error instanceof Error ? error.message : String(error));

/** What the service says, behind a sentence. @param {string} detail */
export const behind = (detail) => (detail ? h('details', { class: 'small' }, h('summary', {}, t('error.more')), h('p', { lang: 'en' }, detail)) : '');

/** @param {unknown} error @param {string} [text] in place of the usual sentence */
export const errorNote = (error, text = errorText(error)) => h('div', { class: 'note bad', role: 'alert' }, h('p', {}, text), behind(errorDetail(error)));

/**
 * Why a job failed: a sentence in the reader's language, and what the service says of it behind that.
 * @param {{ code: string, message: string | null }} error
 */
export const failure = ({ code, message }) => h('div', {}, h('p', {}, t(`error.${KNOWN.includes(code) ? code : 'other'}`)), behind(message ?? ''));

/** The error of a job that was rendered again. @param {import('../api.mjs').Job | null} job */
export const jobProblem = (job) => new Problem(410, job?.error?.code ?? 'Deleted', job?.error?.message ?? '');

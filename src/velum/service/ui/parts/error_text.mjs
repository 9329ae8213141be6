// @ts-check
/** What to tell of an error. */
import { Problem } from '../api.mjs';
import { h } from './dom.mjs';
import { t } from '../i18n.mjs';

/** @param {unknown} error */
export const errorText = (error) => (error instanceof Problem && error.status === 0 ? t('failed.network') : error instanceof Error ? error.message : String(error));

const KNOWN = ['BadInput', 'BadPlan', 'LimitExceeded', 'Unavailable', 'NotHidden'];

/**
 * Why a job failed: a sentence in the reader's language, and what the service says of it behind that.
 * @param {{ code: string, message: string | null }} error
 */
export function failure({ code, message }) {
  const text = t(`error.${KNOWN.includes(code) ? code : 'other'}`);
  return h('div', {}, h('p', {}, text), message ? h('details', { class: 'small' }, h('summary', {}, t('error.more')), h('p', {}, message)) : '');
}

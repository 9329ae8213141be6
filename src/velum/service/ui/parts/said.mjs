// @ts-check
/** What to tell of an error. */
import { Problem } from '../api.mjs';
import { t } from '../texts.mjs';

/** @param {unknown} error */
export const said = (error) => (error instanceof Problem && error.status === 0 ? t('failed.network') : error instanceof Error ? error.message : String(error));

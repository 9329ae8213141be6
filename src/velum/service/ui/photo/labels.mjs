// @ts-check
import { t } from '../i18n.mjs';

/** @param {string} kind @param {string} label */
function text(kind, label) {
  const said = t(`${kind}.${label}`);
  return said.startsWith(`${kind}.`) ? label.replaceAll('_', ' ') : said;
}

/** @param {string} label what it stands for, as people say it of all of them */
export const labelText = (label) => text('label', label);

/** @param {string} label as people say it of one */
export const oneText = (label) => text('one', label);

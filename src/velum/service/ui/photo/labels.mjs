// @ts-check
import { t } from '../i18n.mjs';

/** @param {string} kind @param {string} label */
function text(kind, label) {
  const text = t(`${kind}.${label}`);
  return text.startsWith(`${kind}.`) ? label.replaceAll('_', ' ') : text;
}

/** @param {string} label what it stands for, as people say it of all of them */
export const labelText = (label) => text('label', label);

/** @param {string} label as people say it of one */
export const oneText = (label) => text('one', label);

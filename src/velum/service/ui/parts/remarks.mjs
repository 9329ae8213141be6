// @ts-check
/** What the report warns of, where it matters: before somebody approves or passes on the file. */
import { h } from './dom.mjs';
import { t } from '../i18n.mjs';

/** Remarks that the page says in the reader's language; of others it says that they are there, and shows them as they are. @type {[string, RegExp][]} */
const KNOWN = [
  ['nothing', /^nothing was found to hide/], ['shown', /^nothing is hidden: the plan shows/], ['destroy', / does not destroy what it hides/],
];

/** @param {string[]} warnings */
export function remarks(warnings) {
  if (!warnings.length) return h('span', { hidden: true });
  const said = new Map(warnings.map((text) => [KNOWN.find(([, pattern]) => pattern.test(text))?.[0] ?? 'other', text]));
  return h('details', { class: 'note warn remarks', open: true },
    h('summary', {}, t('photo.warnings', { n: warnings.length })),
    h('ul', { class: 'small' }, ...[...said.keys()].map((name) => h('li', {}, t(`remark.${name}`)))),
    h('details', { class: 'small' }, h('summary', {}, t('error.more')), h('ul', { lang: 'en' }, ...warnings.map((text) => h('li', {}, text)))));
}

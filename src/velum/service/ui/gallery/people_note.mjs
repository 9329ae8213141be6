// @ts-check
import { h } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';

/**
 * What to know of a result for which people were recognised by their faces; nothing for others.
 * @param {{ people?: { mode: 'keep' | 'only', persons: { name: string }[] } | null }} report
 * @returns {HTMLElement[]}
 */
export const peopleNote = ({ people }) => (people
  ? [h('p', { class: 'note warn' }, t(`people.${people.mode}`, { names: people.persons.map(({ name }) => name).join(', ') }), ' ', t('people.warning'))] : []);

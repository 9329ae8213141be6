// @ts-check
/** What to know before and after people are recognised by their faces. */
import { getJson } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';

/**
 * What to know of a result for which people were recognised by their faces; nothing for others.
 * @param {{ people?: { mode: 'keep' | 'only', persons: { name: string }[] } | null }} report
 * @returns {HTMLElement[]}
 */
export const peopleNote = ({ people }) => (people
  ? [h('p', { class: 'note warn' }, t(`people.${people.mode}`, { names: people.persons.map(({ name }) => name).join(', ') }), ' ', t('people.warning'))] : []);

/** Whether the operator allows that people are recognised. @param {AbortSignal} signal @returns {Promise<boolean>} */
export const mayGroup = async (signal) => Boolean((await getJson('v1/plans', signal)).people);

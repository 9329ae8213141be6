// @ts-check
/** The list of regions. */
import { h } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';
import { oneText } from './labels.mjs';

/** Regions with their place in the file, those that a model was least sure of first, those by hand last. @param {import('./edits.mjs').State} state */
export const byDoubt = (state) => state.map((one, i) => ({ one, i })).sort((a, b) => surety(a.one) - surety(b.one) || a.i - b.i);

/** @param {import('./edits.mjs').Edited} region */
const surety = ({ found = 'manual', score = 1 }) => (found === 'manual' ? 2 : score);

/**
 * @param {import('./edits.mjs').State} state @param {number} selected @param {boolean} correcting
 * @param {{ select: (id: number) => void, toggle: (id: number, on: boolean) => void, crop: (region: import('./edits.mjs').Edited) => HTMLElement | '' }} acts
 */
export function regionList(state, selected, correcting, acts) {
  if (!state.length) return h('p', { class: 'quiet' }, t(correcting ? 'photo.drawone' : 'photo.empty'));
  return h('ul', { class: 'regions' }, ...byDoubt(state).map(({ one, i }) => {
    const name = `${oneText(one.label)} ${i + 1}`;
    const found = one.found ?? 'manual';
    return h('li', { class: one.id === selected ? 'chosen' : '' },
      correcting ? h('input', {
        type: 'checkbox', 'data-name': `on-${one.id}`, checked: one.on, 'aria-label': t('photo.hidename', { name }),
        onchange: (/** @type {Event} */ event) => acts.toggle(one.id, /** @type {HTMLInputElement} */ (event.target).checked),
      }) : '',
      h('button', { type: 'button', class: 'plain', 'data-name': `region-${one.id}`, 'aria-pressed': String(one.id === selected), onclick: () => acts.select(one.id) },
        acts.crop(one), h('span', {}, name),
        h('span', { class: 'quiet small number' }, found === 'manual' ? t('found.manual') : `${t(`found.${found}`)} · ${Math.round((one.score ?? 1) * 100)} %`)));
  }));
}

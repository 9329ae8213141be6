// @ts-check
/** The list of regions. */
import { h } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';
import { oneText } from './labels.mjs';

/**
 * @param {import('./edits.mjs').State} state @param {number} selected @param {boolean} correcting
 * @param {{ select: (id: number) => void, toggle: (id: number, on: boolean) => void }} acts
 */
export function regionList(state, selected, correcting, acts) {
  if (!state.length) return h('p', { class: 'quiet' }, t(correcting ? 'photo.drawone' : 'photo.empty'));
  return h('ul', { class: 'regions' }, ...state.map((one, i) => {
    const name = `${oneText(one.label)} ${i + 1}`;
    const found = one.found ?? 'manual';
    return h('li', { class: one.id === selected ? 'chosen' : '' },
      correcting ? h('input', {
        type: 'checkbox', 'data-name': `on-${one.id}`, checked: one.on, 'aria-label': t('photo.hidename', { name }),
        onchange: (/** @type {Event} */ event) => acts.toggle(one.id, /** @type {HTMLInputElement} */ (event.target).checked),
      }) : '',
      h('button', { type: 'button', class: 'plain', 'data-name': `region-${one.id}`, 'aria-pressed': String(one.id === selected), onclick: () => acts.select(one.id) },
        h('span', {}, name),
        h('span', { class: 'quiet small number' }, found === 'manual' ? t('found.manual') : `${t(`found.${found}`)} · ${Math.round((one.score ?? 1) * 100)} %`)));
  }));
}

// @ts-check
/** The choice of how one thing is hidden: as the plan says, or in a way of its own. */
import { TECHNIQUES } from '../start/plan.mjs';
import { t } from '../i18n.mjs';
import { h } from './dom.mjs';

/** @param {string | undefined} text such as `blur(degree=0.8)` @returns {[string, string]} name and degree, empty where there is none */
export function parsed(text = '') {
  const [, name = text, degree = ''] = /^(\w+)\(degree=([\d.]+)\)$/.exec(text) ?? [];
  return [name, degree];
}

/**
 * @param {string | undefined} value @param {(value: string | undefined) => void} onchange @param {boolean} [disabled]
 * @returns {HTMLElement}
 */
export function techniqueField(value, onchange, disabled = false) {
  const [name, degree] = parsed(value), known = TECHNIQUES.find((technique) => technique.name === name);
  const select = h('select', { 'data-name': 'technique', disabled, onchange: () => {
    const chosen = TECHNIQUES.find((technique) => technique.name === select.value);
    onchange(chosen ? `${chosen.name}(degree=${chosen.usual})` : select.value || undefined);
  } },
  h('option', { value: '' }, t('technique.plan')),
  ...TECHNIQUES.map((technique) => h('option', { value: technique.name, selected: technique.name === name }, t(`technique.${technique.name}`))),
  value && !known ? h('option', { value, selected: true }, value) : '');
  const range = known ? h('input', {
    type: 'range', 'data-name': 'degree', disabled, min: String(known.least), max: '1', step: '0.02', value: degree || String(known.usual), 'aria-label': t('start.degree'),
    onchange: () => onchange(`${name}(degree=${Number(range?.value)})`),
  }) : null;
  return h('div', { class: 'field' }, h('label', { class: 'field' }, h('span', {}, t('technique.own')), select), range ?? '',
    known?.weak(Number(degree || known.usual)) ? h('p', { class: 'small note warn' }, t(`weak.${name}`)) : '');
}

// @ts-check
/** Whether files are shown as a list or as a grid of larger pictures; the browser remembers that. */
import { t } from '../i18n.mjs';
import { h, icon, ICONS } from './dom.mjs';

const NAMES = /** @type {const} */ (['list', 'grid']);
const KEY = 'velum-layout';

/** @returns {typeof NAMES[number]} */
const layout = () => (globalThis.localStorage?.getItem(KEY) === 'grid' ? 'grid' : 'list');

/** Buttons that choose between a list and a grid. @param {HTMLElement} shown what has the files: its class tells the choice */
export function layoutChoice(shown) {
  const use = (/** @type {typeof NAMES[number]} */ name) => {
    shown.classList.toggle('grid', name === 'grid');
    buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(NAMES[i] === name)));
  };
  const buttons = NAMES.map((name) => h('button', { type: 'button', 'aria-label': t(`layout.${name}`), title: t(`layout.${name}`), onclick: () => {
    localStorage.setItem(KEY, name);
    use(name);
  } }, icon(ICONS[name])));
  use(layout());
  return h('div', { class: 'row layout', role: 'group', 'aria-label': t('layout') }, ...buttons);
}

// @ts-check
/** Building elements, and the mark and the icons. */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an element. Of `props`, names that begin with "on" are listeners, "class" and what has a dash are attributes,
 * the rest are set as properties where the element has them and as attributes otherwise.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'class' || name.includes('-') || !(name in element)) {
      element.setAttribute(name, value === true ? '' : String(value));
    } else /** @type {any} */ (element)[name] = value;
  }
  element.append(.../** @type {(Node | string)[]} */ (children.flat().filter(shown).map((child) => child instanceof Node ? child : String(child))));
  return element;
}

/** @param {unknown} child */
const shown = (child) => child !== null && child !== undefined && child !== false;

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Make a drawing from the `d` of paths, stroked in the colour of the text.
 * @param {string} d
 * @returns {SVGSVGElement}
 */
export function icon(d) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', d);
  svg.append(path);
  return svg;
}

export const ICONS = {
  add: 'M12 5v14M5 12h14',
  back: 'M15 5l-7 7 7 7',
  on: 'M9 5l7 7-7 7',
  sound: 'M4 9v6h4l5 4V5L8 9zM16 9a4 4 0 010 6M18.500 6.500a8 8 0 010 11',
  mute: 'M4 9v6h4l5 4V5L8 9zM17 9.500l5 5M22 9.500l-5 5',
  help: 'M9 9a3 3 0 116 0c0 2-3 2.500-3 5M12 18v.1',
  camera: 'M4 8h3l2-3h6l2 3h3v11H4zM12 17a4 4 0 100-8 4 4 0 000 8',
  box: 'M4 6h16v12H4z',
  brush: 'M4 20c3 0 5-1 5-4l9-11 2 2-10 10',
  close: 'M6 6l12 12M18 6L6 18',
  download: 'M12 4v11m-5-4l5 5 5-5M5 20h14',
  eye: 'M2 12c3-5 6-7 10-7s7 2 10 7c-3 5-6 7-10 7s-7-2-10-7zM12 9a3 3 0 100 6 3 3 0 000-6',
  grid: 'M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z',
  list: 'M4 6h16M4 12h16M4 18h16',
  hand: 'M6 3l13 9-6.500 1.200 3.500 6.500-2.800 1.500-3.400-6.600L6 19z',
  minus: 'M5 12h14',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 4l13 8-13 8z',
  stepback: 'M19 5L9 12l10 7zM5 5v14',
  stepon: 'M5 5l10 7-10 7zM19 5v14',
  polygon: 'M12 3l8 7-3 10H7L4 10z',
  redo: 'M19 8H9a5 5 0 000 10h6M15 4l4 4-4 4',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13',
  undo: 'M5 8h10a5 5 0 010 10H9M9 4L5 8l4 4',
};

/**
 * Bytes as people write them.
 * @param {number} bytes
 */
export function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let step = 0;
  while (bytes >= 1000 && step < units.length - 1) {
    bytes /= 1000;
    step += 1;
  }
  const digits = bytes < 10 && step ? 1 : 0;
  return `${bytes.toLocaleString(globalThis.document?.documentElement.lang || 'en', { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${units[step]}`;
}

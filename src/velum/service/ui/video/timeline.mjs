// @ts-check
/** All tracks over time, as bars. */
import { h } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';
import { firstOf, lastOf, stretchesOf } from './tracks.mjs';

/** @typedef {import('./tracks.mjs').State} State */
/** @typedef {import('./tracks.mjs').Doubt} Doubt */

const LANE = 14;
const BAR = 10;
const TOP = 12;

/**
 * A row for each track, as few as there can be: tracks that are not at the same time share one.
 * @param {State} state
 * @returns {Map<number, number>} the row of each track
 */
export function lanesOf(state) {
  /** @type {number[]} */
  const ends = [];
  return new Map([...state].sort((a, b) => firstOf(a) - firstOf(b)).map((track) => {
    const free = ends.findIndex((end) => end < firstOf(track) - 1);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = lastOf(track);
    return [track.id, lane];
  }));
}

/** Events: `seek` with the frame, `choose` with a track's id. */
export class VelumTimeline extends HTMLElement {
  #canvas = h('canvas');
  #head = h('div', { class: 'playhead' });
  #inner = h('div', { class: 'timeline-inner' }, this.#canvas, this.#head);
  #sized = new ResizeObserver(() => this.#draw());
  /** @type {State} */
  #state = [];
  /** @type {readonly Doubt[]} */
  #doubts = [];
  #lanes = new Map();
  #frames = 1;
  #chosen = 0;
  #at = 0;

  connectedCallback() {
    if (this.firstChild) return;
    this.append(this.#inner);
    for (const [name, value] of Object.entries({ role: 'slider', tabindex: '0', 'aria-label': t('video.timeline'), 'aria-valuemin': '1' })) this.setAttribute(name, value);
    this.#inner.addEventListener('pointerdown', (event) => {
      this.#inner.setPointerCapture(event.pointerId);
      this.#choose(event);
      this.#seek(event);
    });
    this.#inner.addEventListener('pointermove', (event) => {
      if (event.buttons & 1) this.#seek(event);
    });
    this.#sized.observe(this);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  disconnectedCallback() {
    this.#sized.disconnect();
  }

  /** @param {State} state @param {readonly Doubt[]} doubts @param {number} frames @param {number} chosen */
  show(state, doubts, frames, chosen) {
    if (state !== this.#state) this.#lanes = lanesOf(state);
    [this.#state, this.#doubts, this.#frames, this.#chosen] = [state, doubts, Math.max(1, frames), chosen];
    this.setAttribute('aria-valuemax', String(frames));
    this.#draw();
  }

  /** @param {number} at @param {string} text */
  place(at, text) {
    this.#at = at;
    this.#head.style.left = `${(100 * (at + 0.5)) / this.#frames}%`;
    this.setAttribute('aria-valuenow', String(at + 1));
    this.setAttribute('aria-valuetext', text);
  }

  get at() {
    return this.#at;
  }

  /** @param {PointerEvent} event */
  #frameOf(event) {
    const { left, width } = this.#inner.getBoundingClientRect();
    return Math.max(0, Math.min(this.#frames - 1, Math.floor(((event.clientX - left) / width) * this.#frames)));
  }

  /** @param {PointerEvent} event */
  #seek(event) {
    this.dispatchEvent(new CustomEvent('seek', { detail: this.#frameOf(event) }));
  }

  /** @param {PointerEvent} event */
  #choose(event) {
    const lane = Math.floor((event.clientY - this.#inner.getBoundingClientRect().top - TOP) / LANE), at = this.#frameOf(event);
    const slack = Math.ceil((4 * this.#frames) / this.#inner.clientWidth);
    const hit = this.#state.find((track) => this.#lanes.get(track.id) === lane && firstOf(track) - slack <= at && lastOf(track) + slack >= at);
    if (hit) this.dispatchEvent(new CustomEvent('choose', { detail: hit.id }));
  }

  #draw() {
    const width = this.#inner.clientWidth, height = TOP + LANE * Math.max(2, 1 + Math.max(0, ...this.#lanes.values()));
    if (!width) return;
    const sharp = Math.min(devicePixelRatio, 16_000 / width, 16_000 / height);
    Object.assign(this.#canvas, { width: width * sharp, height: height * sharp });
    this.#canvas.style.height = `${height}px`;
    const paint = this.#canvas.getContext('2d'), colour = colours(this);
    if (!paint) return;
    paint.scale(sharp, sharp);
    const scale = width / this.#frames;
    for (const { at, why } of this.#doubts) {
      paint.fillStyle = why === 'start' || why === 'end' ? colour.line : colour.warn;
      paint.fillRect(at * scale, 2, Math.max(1.5, scale), TOP - 5);
    }
    for (const track of this.#state) {
      const y = TOP + this.#lanes.get(track.id) * LANE;
      paint.globalAlpha = track.on ? 1 : 0.3;
      for (const { from, to, kind } of stretchesOf(track)) {
        const x = from * scale, w = Math.max(1, (to + 1 - from) * scale);
        paint.fillStyle = kind === 'detected' ? colour.accent : kind === 'manual' ? colour.text : colour.warn;
        // Told apart without colour too: what was filled in is thinner, what was put by hand is framed.
        if (kind === 'filled') paint.fillRect(x, y + BAR / 2 - 2, w, 4);
        else paint.fillRect(x, y, w, BAR);
        if (kind === 'manual' && w > 4) {
          paint.fillStyle = colour.panel;
          paint.fillRect(x + 1.5, y + 2, w - 3, BAR - 4);
        }
      }
      paint.globalAlpha = 1;
      if (track.id !== this.#chosen) continue;
      paint.strokeStyle = colour.text;
      paint.lineWidth = 2;
      paint.strokeRect(firstOf(track) * scale - 1, y - 1, Math.max(3, (lastOf(track) + 1 - firstOf(track)) * scale + 2), BAR + 2);
    }
  }
}
customElements.define('velum-timeline', VelumTimeline);

/**
 * The page's colours as a canvas takes them.
 * @param {HTMLElement} under
 */
export function colours(under) {
  const probe = h('span', { hidden: true });
  under.append(probe);
  /** @param {string} name */
  const of = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const made = { accent: of('accent'), warn: of('warn'), text: of('text'), line: of('line-strong'), panel: of('panel') };
  probe.remove();
  return made;
}

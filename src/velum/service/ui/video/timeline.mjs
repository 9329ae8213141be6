// @ts-check
/** All tracks over time, as bars. */
import { h, icon, ICONS } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';
import { labelText } from '../photo/labels.mjs';
import { rowsOf, zoomed } from './timeline_layout.mjs';
import { firstOf, lastOf, stretchesOf } from './tracks.mjs';

/** @typedef {import('./tracks.mjs').State} State */
/** @typedef {import('./tracks.mjs').Doubt} Doubt */

const LANE = 16;
const BAR = 12;
const TOP = 12;
const SHOT = 36;
const PAUSE_MS = 120;
const MOST_SHOTS = 500;
const STEP = 1.5;

/** Events: `seek` with the frame, `choose` with a track's id. */
export class VelumTimeline extends HTMLElement {
  #canvas = h('canvas');
  #head = h('div', { class: 'playhead' });
  #inner = h('div', { class: 'timeline-inner' }, this.#canvas, this.#head);
  #names = h('div', { class: 'timeline-names', 'aria-hidden': 'true' });
  #zoom = 1;
  #buttons = /** @type {const} */ (['out', 'in']).map((way) => h('button', { type: 'button', class: 'plain', 'aria-label': t(`video.zoom.${way}`), title: t(`video.zoom.${way}.how`), onclick: () => this.zoom(way === 'in' ? STEP : 1 / STEP) }, icon(ICONS[way === 'in' ? 'add' : 'minus'])));
  /** The buttons that zoom. */
  zooming = h('div', { class: 'row timeline-zoom', role: 'group', 'aria-label': t('video.zoom') }, ...this.#buttons);
  #sized = new ResizeObserver(() => this.#draw());
  /** @type {State} */
  #state = [];
  /** @type {readonly Doubt[]} */
  #doubts = [];
  #rows = rowsOf([]);
  #frames = 1;
  #chosen = 0;
  #at = 0;
  /** Takes pictures of frames, where there is an original. @type {import('./frame_shots.mjs').FrameShots | null} */
  shots = null;
  /** Width of a frame for its height. */
  aspect = 16 / 9;
  /** @type {Map<number, HTMLCanvasElement>} */
  #pictures = new Map();
  #timer = 0;
  #soon = 0;
  /** How wide a digit is. */
  #digit = 6;

  connectedCallback() {
    if (this.firstChild) return;
    this.append(this.#names, this.#inner);
    for (const [name, value] of Object.entries({ role: 'slider', tabindex: '0', 'aria-label': t('video.timeline'), 'aria-valuemin': '1' })) this.setAttribute(name, value);
    this.#inner.addEventListener('pointerdown', (event) => {
      this.#inner.setPointerCapture(event.pointerId);
      this.#choose(event);
      this.#seek(event);
    });
    this.#inner.addEventListener('pointermove', (event) => {
      if (event.buttons & 1) this.#seek(event);
    });
    this.addEventListener('wheel', (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 200), event.clientX - this.getBoundingClientRect().left - this.#names.offsetWidth);
    }, { passive: false });
    this.addEventListener('scroll', () => { if (this.#zoom > 1) this.#draw(); }, { passive: true });
    this.#sized.observe(this);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#sized.disconnect();
  }

  /** @param {State} state @param {readonly Doubt[]} doubts @param {number} frames @param {number} chosen */
  show(state, doubts, frames, chosen) {
    this.style.setProperty('--top', `${this.#top - 1}px`);
    if (state !== this.#state) {
      this.#rows = rowsOf(state);
      const { labels } = this.#rows;
      // The first row of a label names it.
      this.#names.replaceChildren(...labels.map((label, i) => h('span', {}, label === labels[i - 1] ? '' : labelText(label))));
    }
    [this.#state, this.#doubts, this.#frames, this.#chosen] = [state, doubts, Math.max(1, frames), chosen];
    this.setAttribute('aria-valuemax', String(frames));
    this.#draw();
  }

  /** @param {number} at @param {string} text */
  place(at, text) {
    this.#at = at;
    this.#head.style.left = `${(100 * (at + 0.5)) / this.#frames}%`;
    const x = ((at + 0.5) / this.#frames) * this.#inner.clientWidth, view = this.#view, { scrollLeft: left } = /** @type {HTMLElement} */ (this);
    if (this.#zoom > 1 && (x < left || x > left + view)) this.scrollLeft = x - view / 5;
    this.setAttribute('aria-valuenow', String(at + 1));
    this.setAttribute('aria-valuetext', text);
  }

  get at() {
    return this.#at;
  }

  /** Where the rows begin. */
  get #top() {
    return TOP + (this.shots ? SHOT + 2 : 0);
  }

  /** How wide the part that is in view is. */
  get #view() {
    return this.clientWidth - this.#names.offsetWidth;
  }

  /** Show more or less of the time. @param {number} factor @param {number} [at] pixels from the left that stay; else the frame shown, or the middle */
  zoom(factor, at) {
    /** @type {HTMLElement} */
    const scroller = this;
    const width = this.#view, was = scroller.scrollLeft, head = ((this.#at + 0.5) / this.#frames) * width * this.#zoom - was;
    const { zoom, left } = zoomed({ zoom: this.#zoom, left: was }, factor, at ?? (head >= 0 && head <= width ? head : width / 2), width, this.#frames);
    this.#zoom = zoom;
    this.#inner.style.setProperty('--zoom', String(zoom));
    this.scrollLeft = left;
    this.#draw();
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
    const lane = Math.floor((event.clientY - this.#inner.getBoundingClientRect().top - this.#top) / LANE), at = this.#frameOf(event);
    const slack = Math.ceil((4 * this.#frames) / this.#inner.clientWidth);
    const hit = this.#state.find((track) => this.#rows.rows.get(track.id) === lane && firstOf(track) - slack <= at && lastOf(track) + slack >= at);
    if (hit) this.dispatchEvent(new CustomEvent('choose', { detail: hit.id }));
  }

  #draw() {
    const width = this.#view, whole = this.#inner.clientWidth, top = this.#top, height = top + LANE * Math.max(2, this.#rows.labels.length);
    if (width <= 0) return;
    this.#buttons[0].disabled = this.#zoom <= 1;
    this.#buttons[1].disabled = zoomed({ zoom: this.#zoom, left: 0 }, STEP, 0, width, this.#frames).zoom <= this.#zoom;
    const sharp = Math.min(devicePixelRatio, 16_000 / width, 16_000 / height);
    Object.assign(this.#canvas, { width: width * sharp, height: height * sharp });
    // Only what is in view is drawn, however wide the whole is.
    Object.assign(this.#canvas.style, { width: `${width}px`, height: `${height}px` });
    const paint = this.#canvas.getContext('2d'), colour = colours(this);
    if (!paint) return;
    paint.scale(sharp, sharp);
    paint.translate(-this.scrollLeft, 0);
    paint.font = `600 10px ${getComputedStyle(this).fontFamily}`;
    paint.textBaseline = 'middle';
    this.#digit = paint.measureText('0').width;
    const scale = whole / this.#frames, from = this.scrollLeft / scale - 1, to = (this.scrollLeft + width) / scale + 1;
    for (const { at, why } of this.#doubts) {
      paint.fillStyle = why === 'start' || why === 'end' ? colour.line : colour.warn;
      paint.fillRect(at * scale, 2, Math.max(1.5, scale), TOP - 5);
    }
    this.#shoot(paint, whole, width);
    for (const track of this.#state) {
      if (lastOf(track) < from || firstOf(track) > to) continue;
      const y = top + (this.#rows.rows.get(track.id) ?? 0) * LANE;
      paint.globalAlpha = track.on ? 1 : 0.3;
      for (const { from: first, to: last, kind } of stretchesOf(track)) {
        const x = first * scale, w = Math.max(1, (last + 1 - first) * scale);
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
      this.#number(paint, track, scale, y, colour);
      if (track.id !== this.#chosen) continue;
      paint.strokeStyle = colour.text;
      paint.lineWidth = 2;
      paint.strokeRect(firstOf(track) * scale - 1, y - 1, Math.max(3, (lastOf(track) + 1 - firstOf(track)) * scale + 2), BAR + 2);
    }
  }

  /**
   * Draw frames next to each other over the rows, and have those taken that are missing.
   * @param {CanvasRenderingContext2D} paint @param {number} whole pixels of all frames @param {number} view pixels of those in view
   */
  #shoot(paint, whole, view) {
    const { shots, scrollLeft } = this, wide = SHOT * Math.max(0.4, Math.min(3, this.aspect)), high = Math.min(SHOT, wide / this.aspect);
    if (!shots) return;
    /** @type {number[]} */
    const missing = [];
    for (let slot = Math.floor(scrollLeft / wide); slot * wide < Math.min(whole, scrollLeft + view); slot += 1) {
      const frame = Math.min(this.#frames - 1, Math.floor(((slot + 0.5) * wide * this.#frames) / whole)), picture = this.#pictures.get(frame);
      if (picture) paint.drawImage(picture, slot * wide, TOP + (SHOT - high) / 2, wide - 1, high);
      else missing.push(frame);
    }
    clearTimeout(this.#timer);
    shots.forget();
    if (missing.length) this.#timer = setTimeout(() => { for (const frame of missing) shots.take(frame, (video) => this.#taken(frame, video), false); }, PAUSE_MS);
  }

  /** @param {number} frame @param {HTMLVideoElement} video */
  #taken(frame, video) {
    const picture = h('canvas', { width: Math.round(2 * SHOT * this.aspect), height: 2 * SHOT });
    picture.getContext('2d')?.drawImage(video, 0, 0, picture.width, picture.height);
    if (this.#pictures.size > MOST_SHOTS) this.#pictures.clear();
    this.#pictures.set(frame, picture);
    this.#soon ||= requestAnimationFrame(() => { this.#soon = 0; this.#draw(); });
  }

  /**
   * Write a track's number into its bar where it has room, in a field of its own: bars differ in height and colour.
   * @param {CanvasRenderingContext2D} paint @param {import('./tracks.mjs').Track} track @param {number} scale @param {number} y
   * @param {ReturnType<typeof colours>} colour
   */
  #number(paint, track, scale, y, colour) {
    const text = String(track.id), room = text.length * this.#digit + 6;
    const x = Math.max(firstOf(track) * scale, this.scrollLeft);
    if ((lastOf(track) + 1) * scale - x < room + 8) return;
    paint.fillStyle = colour.panel;
    paint.fillRect(x + 2, y + 1, room, BAR - 2);
    paint.fillStyle = colour.text;
    paint.fillText(text, x + 5, y + BAR / 2 + 0.5);
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

// @ts-check
/** Shows a part of the video larger: of the original and of the result alike. */
import { h, icon, ICONS } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';

const MOST = 12;
const STEP = 1.5;
/** How much of the height a track takes that is zoomed to, and how far that goes. */
const SHARE = 0.35;
const MOST_TO_TRACK = 6;

/** @typedef {import('./video_canvas.mjs').VelumStage} VelumStage */

export class PictureZoom {
  /** @type {HTMLElement} */
  #frame;
  /** @type {VelumStage} */
  #stage;
  /** @type {HTMLElement[]} */
  #others;
  #view = { scale: 1, x: 0, y: 0 };
  /** Whether the chosen track stays in the middle. */
  #follows = false;
  /** @type {Map<number, { x: number, y: number }>} */
  #fingers = new Map();
  #panning = -1;
  #buttons = /** @type {const} */ (['out', 'in', 'fit']).map((way) => h('button', { type: 'button', 'aria-label': way === 'fit' ? null : t(`video.picture.${way}`), title: t(`video.picture.${way}`), onclick: () => (way === 'fit' ? this.fit() : this.zoom(way === 'in' ? STEP : 1 / STEP)) }, way === 'fit' ? t('photo.fit') : icon(ICONS[way === 'in' ? 'add' : 'minus'])));
  /** The buttons that zoom. */
  bar = h('div', { class: 'row video-zoom', role: 'group', 'aria-label': t('video.picture.zoom') }, ...this.#buttons);

  /** @param {HTMLElement} frame around all @param {VelumStage} stage @param {HTMLElement[]} others that show the same part */
  constructor(frame, stage, others) {
    [this.#frame, this.#stage, this.#others] = [frame, stage, others];
    frame.addEventListener('wheel', (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 200), this.#spot(event));
    }, { passive: false });
    // Before the stage takes them: two fingers zoom, the middle button or a drag beside all regions moves what is seen.
    frame.addEventListener('pointerdown', (event) => this.#down(event), { capture: true });
    frame.addEventListener('pointermove', (event) => this.#move(event), { capture: true });
    for (const name of /** @type {const} */ (['pointerup', 'pointercancel'])) frame.addEventListener(name, (event) => this.#up(event), { capture: true });
    this.#show();
  }

  get isZoomed() {
    return this.#view.scale > 1;
  }

  /** @param {number} factor @param {{ x: number, y: number }} [at] pixels from the middle that stay where they are */
  zoom(factor, at = { x: 0, y: 0 }) {
    const { scale, x, y } = this.#view, next = Math.max(1, Math.min(MOST, scale * factor)), by = next / scale;
    this.#view = { scale: next, x: at.x - (at.x - x) * by, y: at.y - (at.y - y) * by };
    this.#show();
  }

  fit() {
    this.#view = { scale: 1, x: 0, y: 0 };
    this.#follows = false;
    this.#show();
  }

  /** Zoom to a box and keep the chosen track in the middle from now on; or back to all. @param {readonly number[] | undefined} box */
  toggle(box) {
    if (this.isZoomed) return this.fit();
    const high = box ? (SHARE * this.#stage.size.height) / (box[3] - box[1]) : 2;
    this.#view.scale = Math.max(STEP, Math.min(MOST_TO_TRACK, high));
    this.#follows = true;
    this.#show();
    this.center(box);
  }

  /** Have a box in the middle, while that is wanted. @param {readonly number[] | undefined} box */
  center(box) {
    if (!box || !this.#follows) return;
    const { size, clientWidth, clientHeight } = this.#stage, { scale } = this.#view;
    this.#view.x = -((box[0] + box[2]) / 2 / size.width - 0.5) * clientWidth * scale;
    this.#view.y = -((box[1] + box[3]) / 2 / size.height - 0.5) * clientHeight * scale;
    this.#show();
  }

  /** @param {PointerEvent | WheelEvent} event pixels from the middle of what was pointed at */
  #spot(event) {
    const part = /** @type {Element} */ (event.target).closest('.video-half, velum-result') ?? this.#frame;
    const { left, top, width, height } = part.getBoundingClientRect();
    return { x: event.clientX - left - width / 2, y: event.clientY - top - height / 2 };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (/** @type {Element} */ (event.target).closest('button')) return;
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const pinch = this.#fingers.size === 2, pan = this.isZoomed && (event.button === 1 || (event.button === 0 && this.#stage.isFree(event)));
    if (!pinch && !pan) return;
    this.#panning = event.pointerId;
    event.preventDefault();
    if (pinch) return; // the stage ends what one finger had begun
    event.stopPropagation();
    this.#frame.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const was = this.#fingers.get(event.pointerId);
    if (!was || this.#panning < 0) return;
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1], now = { x: event.clientX, y: event.clientY };
    if (other) this.zoom(Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(was.x - other.x, was.y - other.y)), this.#spot(event));
    else {
      this.#follows = false;
      this.#view = { ...this.#view, x: this.#view.x + now.x - was.x, y: this.#view.y + now.y - was.y };
      this.#show();
    }
    this.#fingers.set(event.pointerId, now);
    event.stopPropagation();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    this.#fingers.delete(event.pointerId);
    if (!this.#fingers.size) this.#panning = -1;
  }

  #show() {
    const view = this.#view, { clientWidth, clientHeight } = this.#stage, bound = (/** @type {number} */ at, /** @type {number} */ side) => {
      const most = ((view.scale - 1) * side) / 2;
      return Math.max(-most, Math.min(most, at));
    };
    [view.x, view.y] = [bound(view.x, clientWidth), bound(view.y, clientHeight)];
    for (const part of [this.#stage, ...this.#others]) part.style.transform = view.scale > 1 ? `translate(${view.x}px, ${view.y}px) scale(${view.scale})` : '';
    [this.#buttons[0].disabled, this.#buttons[1].disabled, this.#buttons[2].hidden] = [view.scale <= 1, view.scale >= MOST, view.scale <= 1];
    this.#stage.magnified = view.scale;
    this.#stage.draw();
  }
}

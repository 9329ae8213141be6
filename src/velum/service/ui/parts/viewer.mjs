// @ts-check
import { cutOut } from './crop.mjs';
import { h } from './dom.mjs';
import { t } from '../i18n.mjs';

/** @typedef {{ x: number, y: number }} Point */
/** @typedef {{ scale: number, x: number, y: number }} View pixels of the screen a pixel of the picture; where its corner is */
/**
 * What takes the pointer before the viewer pans. `down` tells whether it does.
 * @typedef {{ down: (at: Point, event: PointerEvent) => boolean, move: (at: Point, event: PointerEvent) => void,
 *   up: (at: Point, event: PointerEvent) => void, cancel: () => void, over?: (at: Point) => string }} Tool
 */

const MOST_SCALE = 48;

/**
 * Halve a picture again and again: one that is shown small is drawn from the small one, which keeps large ones smooth.
 * @param {ImageBitmap} bitmap
 * @returns {Promise<ImageBitmap[]>}
 */
async function levels(bitmap) {
  const all = [bitmap];
  while (all[all.length - 1].width > 1500) {
    const last = all[all.length - 1];
    all.push(await createImageBitmap(last, { resizeWidth: Math.ceil(last.width / 2), resizeHeight: Math.ceil(last.height / 2), resizeQuality: 'medium' }));
  }
  return all;
}

/**
 * Shows a picture, or two to compare, with zoom and pan. What is drawn over it is drawn by `overlay`; it alone is drawn
 * again when that changes (`redraw`).
 */
export class VelumViewer extends HTMLElement {
  /** @type {'before' | 'after' | 'compare'} */
  mode = 'after';
  /** Where the two pictures meet, as a share of the width. */
  split = 0.5;
  /** @type {Tool | null} */
  tool = null;
  /** @type {((context: CanvasRenderingContext2D, view: View) => void) | null} */
  overlay = null;
  /** @type {View} */
  view = { scale: 1, x: 0, y: 0 };
  width = 0;
  height = 0;

  #pictures = h('canvas', { 'aria-hidden': 'true' });
  #over = h('canvas', { role: 'img', tabIndex: 0 });
  /** @type {ImageBitmap[]} */
  #before = [];
  /** @type {ImageBitmap[]} */
  #after = [];
  /** @type {Map<number, Point>} */
  #pointers = new Map();
  /** @type {'tool' | 'pan' | 'split' | 'pinch' | ''} */
  #doing = '';
  #frame = 0;
  #stale = { pictures: false, overlay: false };
  #fitted = true;
  #sizes = new ResizeObserver(() => this.#resized());

  connectedCallback() {
    this.#over.setAttribute('aria-label', t('viewer.label'));
    this.append(this.#pictures, this.#over);
    const over = this.#over;
    over.addEventListener('pointerdown', (event) => this.#down(event));
    over.addEventListener('pointermove', (event) => this.#move(event));
    for (const name of /** @type {const} */ (['pointerup', 'pointercancel'])) over.addEventListener(name, (event) => this.#up(event));
    over.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), this.#local(event));
    }, { passive: false });
    over.addEventListener('keydown', (event) => this.#key(event));
    this.#sizes.observe(this);
  }

  disconnectedCallback() {
    this.#sizes.disconnect();
    cancelAnimationFrame(this.#frame);
    for (const picture of [...this.#before, ...this.#after]) picture.close();
  }

  /** The canvas that has the focus and the pointer. */
  get surface() {
    return this.#over;
  }

  /**
   * @param {ImageBitmap | null} before
   * @param {ImageBitmap | null} after null: leave the one there is
   */
  async show(before, after) {
    if (before) {
      const old = this.#before;
      this.#before = await levels(before);
      for (const picture of old) picture.close();
    }
    if (after) {
      const old = this.#after;
      this.#after = await levels(after);
      for (const picture of old) picture.close();
    }
    const first = (before ?? after);
    if (first && (this.width !== first.width || this.height !== first.height)) {
      this.width = first.width;
      this.height = first.height;
      this.fit();
    }
    this.refresh();
  }

  /** Draw what is around a box of the original. @param {HTMLCanvasElement} canvas @param {readonly number[]} xyxy */
  cut(canvas, xyxy) {
    const [x0, , x1] = xyxy;
    // From a small one where that is enough: large pictures are slow to scale down.
    const level = Math.max(0, Math.min(this.#before.length - 1, Math.floor(Math.log2((x1 - x0) / canvas.width))));
    if (this.#before[level]) cutOut(canvas, this.#before[level], xyxy, this.#before[level].width / this.width);
  }

  /** Show all of it. */
  fit() {
    const { clientWidth, clientHeight } = this;
    if (!this.width || !clientWidth) return;
    const scale = Math.min(clientWidth / this.width, clientHeight / this.height, 4) * 0.98;
    this.view = { scale, x: (clientWidth - this.width * scale) / 2, y: (clientHeight - this.height * scale) / 2 };
    this.#fitted = true;
    this.refresh();
  }

  /** @param {number} factor @param {Point} [at] in pixels of the element */
  zoom(factor, at = { x: this.clientWidth / 2, y: this.clientHeight / 2 }) {
    const { scale, x, y } = this.view;
    const least = Math.min(1, this.clientWidth / this.width / 4);
    const next = Math.max(least, Math.min(MOST_SCALE, scale * factor));
    const by = next / scale;
    this.view = { scale: next, x: at.x - (at.x - x) * by, y: at.y - (at.y - y) * by };
    this.#fitted = false;
    this.refresh();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    const { scale, x, y } = this.view;
    this.view = { scale, x: x + dx, y: y + dy };
    this.#fitted = false;
    this.refresh();
  }

  /**
   * Bring a box into view.
   * @param {number[]} xyxy
   */
  reveal(xyxy) {
    const { scale, x, y } = this.view;
    const [x0, y0, x1, y1] = xyxy;
    const inside = x0 * scale + x >= 0 && y0 * scale + y >= 0 && x1 * scale + x <= this.clientWidth && y1 * scale + y <= this.clientHeight;
    if (inside) return this.redraw();
    this.view = { scale, x: this.clientWidth / 2 - (x0 + x1) / 2 * scale, y: this.clientHeight / 2 - (y0 + y1) / 2 * scale };
    this.#fitted = false;
    this.refresh();
  }

  /** Draw everything again. */
  refresh() {
    this.#stale.pictures = true;
    this.redraw();
  }

  /** Draw what lies over the picture again. */
  redraw() {
    this.#stale.overlay = true;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.#stale.pictures) this.#drawPictures();
      if (this.#stale.overlay) this.#drawOverlay();
      this.#stale = { pictures: false, overlay: false };
    });
  }

  #resized() {
    const ratio = devicePixelRatio;
    for (const canvas of [this.#pictures, this.#over]) {
      canvas.width = Math.round(this.clientWidth * ratio);
      canvas.height = Math.round(this.clientHeight * ratio);
    }
    if (this.#fitted) this.fit();
    this.refresh();
  }

  #drawPictures() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.#pictures.getContext('2d', { alpha: true }));
    const ratio = devicePixelRatio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#pictures.width, this.#pictures.height);
    const first = this.mode === 'before' || !this.#after.length ? this.#before : this.#after;
    this.#draw(context, first, 0, this.clientWidth);
    if (this.mode === 'compare' && this.#before.length) {
      const { scale, x } = this.view;
      this.#draw(context, this.#before, 0, x + this.split * this.width * scale);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /** @param {CanvasRenderingContext2D} context @param {ImageBitmap[]} all @param {number} left @param {number} right */
  #draw(context, all, left, right) {
    if (!all.length || right <= left) return;
    const { scale, x, y } = this.view;
    const ratio = devicePixelRatio;
    const level = all.findLast((candidate) => candidate.width >= this.width * scale * ratio) ?? all[0];
    const by = level.width / this.width;
    context.save();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.beginPath();
    context.rect(left, 0, right - left, this.clientHeight);
    context.clip();
    context.imageSmoothingEnabled = scale * ratio < 2;
    // Only the part that is seen: at high zoom the rest would be scaled in vain.
    const sx = Math.max(0, Math.floor(-x / scale * by)), sy = Math.max(0, Math.floor(-y / scale * by));
    const ex = Math.min(level.width, Math.ceil((this.clientWidth - x) / scale * by));
    const ey = Math.min(level.height, Math.ceil((this.clientHeight - y) / scale * by));
    if (ex > sx && ey > sy) {
      context.drawImage(level, sx, sy, ex - sx, ey - sy, x + sx / by * scale, y + sy / by * scale, (ex - sx) / by * scale, (ey - sy) / by * scale);
    }
    context.restore();
  }

  #drawOverlay() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.#over.getContext('2d'));
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.clientWidth, this.clientHeight);
    this.overlay?.(context, this.view);
    this.#name(context);
    if (this.mode !== 'compare') return;
    const at = this.#splitAt(), middle = this.clientHeight / 2;
    for (const [colour, wide] of /** @type {const} */ ([['#000a', 5], ['#fff', 2]])) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.beginPath();
      context.moveTo(at, 0);
      context.lineTo(at, this.clientHeight);
      context.stroke();
    }
    context.fillStyle = '#fff';
    context.strokeStyle = '#1d4f4a';
    context.lineWidth = 2;
    context.beginPath();
    context.arc(at, middle, 18, 0, 7);
    context.fill();
    context.moveTo(at - 4, middle - 6);
    context.lineTo(at - 10, middle);
    context.lineTo(at - 4, middle + 6);
    context.moveTo(at + 4, middle - 6);
    context.lineTo(at + 10, middle);
    context.lineTo(at + 4, middle + 6);
    context.stroke();
  }

  /** Say which of the two pictures is shown where. @param {CanvasRenderingContext2D} context */
  #name(context) {
    if (!this.#before.length || !this.#after.length) return;
    const names = this.mode === 'compare' ? /** @type {const} */ (['before', 'after']) : [this.mode];
    context.font = '600 13px system-ui, sans-serif';
    context.textBaseline = 'middle';
    for (const name of names) {
      const text = t(`photo.side.${name}`), width = context.measureText(text).width + 16;
      const left = name === 'before' || names.length === 1 ? 8 : this.clientWidth - width - 8;
      // Where the line comes near, the name of the half that is hardly seen gives way.
      if (names.length > 1 && (name === 'before' ? this.#splitAt() < width + 12 : this.#splitAt() > left - 4)) continue;
      context.fillStyle = '#000b';
      context.beginPath();
      context.roundRect(left, 8, width, 24, 12);
      context.fill();
      context.fillStyle = '#fff';
      context.fillText(text, left + 8, 20.5);
    }
  }

  #splitAt() {
    return this.view.x + this.split * this.width * this.view.scale;
  }

  /** @param {MouseEvent} event @returns {Point} */
  #local(event) {
    const edge = this.#over.getBoundingClientRect();
    return { x: event.clientX - edge.left, y: event.clientY - edge.top };
  }

  /** @param {MouseEvent} event @returns {Point} in pixels of the picture, with fractions */
  at(event) {
    const { x, y } = this.#local(event);
    return { x: (x - this.view.x) / this.view.scale, y: (y - this.view.y) / this.view.scale };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    this.#over.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#local(event));
    if (this.#pointers.size === 2) {
      if (this.#doing === 'tool') this.tool?.cancel();
      this.#doing = 'pinch';
    } else if (this.mode === 'compare' && Math.abs(this.#local(event).x - this.#splitAt()) < 24) {
      this.#doing = 'split';
    } else if (event.button === 0 && this.tool?.down(this.at(event), event)) {
      this.#doing = 'tool';
    } else {
      this.#doing = 'pan';
    }
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const last = this.#pointers.get(event.pointerId), now = this.#local(event);
    if (!last) {
      const near = this.mode === 'compare' && Math.abs(now.x - this.#splitAt()) < 24;
      this.#over.style.setProperty('cursor', near ? 'ew-resize' : this.tool?.over?.(this.at(event)) ?? 'grab');
      return;
    }
    if (this.#doing === 'pan') this.pan(now.x - last.x, now.y - last.y);
    else if (this.#doing === 'tool') this.tool?.move(this.at(event), event);
    else if (this.#doing === 'split') this.setSplit((now.x - this.view.x) / this.view.scale / this.width);
    else if (this.#doing === 'pinch' && this.#pointers.size === 2) {
      const other = /** @type {Point} */ ([...this.#pointers].find(([id]) => id !== event.pointerId)?.[1]);
      const was = Math.hypot(last.x - other.x, last.y - other.y), is = Math.hypot(now.x - other.x, now.y - other.y);
      this.pan((now.x - last.x) / 2, (now.y - last.y) / 2);
      if (was > 0) this.zoom(is / was, { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    }
    this.#pointers.set(event.pointerId, now);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    if (this.#doing === 'tool') {
      if (event.type === 'pointercancel') this.tool?.cancel();
      else this.tool?.up(this.at(event), event);
    }
    if (!this.#pointers.size) this.#doing = '';
  }

  /** @param {number} split */
  setSplit(split) {
    this.split = Math.max(0, Math.min(1, split));
    this.dispatchEvent(new Event('split'));
    this.refresh();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60;
    /** @type {Record<string, () => void>} */
    const keys = {
      '+': () => this.zoom(1.25), '=': () => this.zoom(1.25), '-': () => this.zoom(0.8), 0: () => this.fit(),
      1: () => this.zoom(1 / devicePixelRatio / this.view.scale),
      ArrowLeft: () => this.pan(step, 0), ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step), ArrowDown: () => this.pan(0, -step),
    };
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  }
}
customElements.define('velum-viewer', VelumViewer);

// @ts-check
/** Small cut-outs of what a region shows in the original; drawn when they come into view. */
import { h } from './dom.mjs';

/** Pixels of a side: twice those of the screen, for sharp ones. */
const SIDE = 88;
const AROUND = 0.2;

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) /** @type {VelumCrop} */ (target).load();
}, { rootMargin: '100px' });

export class VelumCrop extends HTMLElement {
  #canvas = h('canvas', { width: SIDE, height: SIDE });
  /** @type {((canvas: HTMLCanvasElement) => void) | null} */
  draw = null;

  connectedCallback() {
    if (!this.firstChild) this.append(this.#canvas);
    this.setAttribute('aria-hidden', 'true');
    if (this.draw) seen.observe(this);
  }

  disconnectedCallback() {
    seen.unobserve(this);
  }

  load() {
    seen.unobserve(this);
    this.draw?.(this.#canvas);
    this.draw = null;
  }
}
customElements.define('velum-crop', VelumCrop);

/** Cut-outs that were made, by what they show: a list that is built anew shows the same ones. */
export class Crops {
  /** @type {Map<string, VelumCrop>} */
  #made = new Map();

  /** @param {string} name of what it shows @param {(canvas: HTMLCanvasElement) => void} draw */
  of(name, draw) {
    let crop = this.#made.get(name);
    if (!crop) {
      crop = /** @type {VelumCrop} */ (document.createElement('velum-crop'));
      crop.draw = draw;
      this.#made.set(name, crop);
    }
    return crop;
  }

  clear() {
    this.#made.clear();
  }
}

/**
 * The square around a box, with some of what is around it.
 * @param {readonly number[]} xyxy
 * @returns {{ x: number, y: number, side: number }}
 */
export function squareAround([x0, y0, x1, y1]) {
  const side = Math.max(8, x1 - x0, y1 - y0) * (1 + 2 * AROUND);
  return { x: (x0 + x1 - side) / 2, y: (y0 + y1 - side) / 2, side };
}

/**
 * Draw what is around a box of a picture.
 * @param {HTMLCanvasElement} canvas @param {CanvasImageSource} picture @param {readonly number[]} xyxy in its pixels
 * @param {number} [scale] pixels of the picture for each of the box
 */
export function cutOut(canvas, picture, xyxy, scale = 1) {
  const { x, y, side } = squareAround(xyxy), paint = canvas.getContext('2d');
  if (!paint) return;
  paint.imageSmoothingQuality = 'high';
  paint.clearRect(0, 0, canvas.width, canvas.height);
  paint.drawImage(picture, x * scale, y * scale, side * scale, side * scale, 0, 0, canvas.width, canvas.height);
}

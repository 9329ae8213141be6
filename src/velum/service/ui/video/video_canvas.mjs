// @ts-check
/** The video with what is hidden drawn over it. */
import { h } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';
import { moved, pointsIn } from '../photo/edits.mjs';
import { drawPoints } from '../photo/overlay.mjs';
import { placeAt } from './tracks.mjs';
import { frameAt, within } from './frame_times.mjs';
import { colours } from './timeline.mjs';

/** @typedef {import('./tracks.mjs').State} State */
/** @typedef {'switch' | 'move' | 'draw'} Tool */

/** Events: `frame`; `flip` and `choose` with an id; `drawn` and `put` with a box. */
export class VelumStage extends HTMLElement {
  video = h('video', { muted: true, playsInline: true, preload: 'auto', tabIndex: -1, 'aria-hidden': 'true' });
  #canvas = h('canvas', { tabIndex: 0, role: 'img', 'aria-label': t('video.picture') });
  #sized = new ResizeObserver(() => this.draw());
  /** @type {Tool} */
  tool = 'switch';
  preview = false;
  chosen = 0;
  frame = 0;
  /** @type {State} */
  state = [];
  /** @type {readonly number[]} */
  times = [0];
  size = { width: 1, height: 1 };
  /** How many times larger the picture is shown. */
  magnified = 1;
  #wanted = -1;
  /** @type {{ by: number, from: number[], box: number[] | null, start: number[] | null } | null} */
  #drag = null;

  connectedCallback() {
    this.append(this.video, this.#canvas);
    this.#sized.observe(this);
    this.#canvas.addEventListener('pointerdown', (event) => this.#down(event));
    this.#canvas.addEventListener('pointermove', (event) => this.#move(event));
    this.#canvas.addEventListener('pointerup', (event) => this.#up(event));
    this.#canvas.addEventListener('pointercancel', () => this.#cancel());
    this.video.addEventListener('seeked', () => {
      if (this.#wanted >= 0 && frameAt(this.times, this.video.currentTime) !== this.#wanted) this.video.currentTime = within(this.times, this.#wanted);
      else this.#wanted = -1;
    });
    const shown = (/** @type {number} */ _, /** @type {VideoFrameCallbackMetadata} */ { mediaTime }) => {
      if (!this.isConnected) return;
      if (!this.video.paused) this.#at(frameAt(this.times, mediaTime));
      this.video.requestVideoFrameCallback(shown);
    };
    this.video.requestVideoFrameCallback?.(shown);
    this.video.addEventListener('pause', () => this.go(frameAt(this.times, this.video.currentTime)));
  }

  disconnectedCallback() {
    this.#sized.disconnect();
    this.video.pause();
    this.video.removeAttribute('src');
    this.video.load();
  }

  /** @param {number} width @param {number} height */
  sized(width, height) {
    this.size = { width, height };
    this.style.aspectRatio = `${width} / ${height}`;
    this.style.maxWidth = `calc(var(--stage-high, 50vh) * ${width / height})`;
  }

  /** @param {number} frame */
  go(frame) {
    const to = Math.max(0, Math.min(this.times.length - 1, frame));
    const busy = this.#wanted >= 0;
    this.#wanted = to;
    if (!busy || !this.video.seeking) this.video.currentTime = within(this.times, to);
    this.#at(to);
  }

  /** @param {number} frame */
  #at(frame) {
    this.frame = frame;
    this.draw();
    this.dispatchEvent(new CustomEvent('frame'));
  }

  /** @param {PointerEvent} event */
  #spot(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return [((event.clientX - left) / width) * this.size.width, ((event.clientY - top) / height) * this.size.height];
  }

  /** The track with the smallest box around a spot. @param {number[]} spot */
  #hit([x, y]) {
    const found = this.state.flatMap(({ id, ...track }) => {
      const box = placeAt({ id, ...track }, this.frame)?.region.xyxy;
      return box && x >= box[0] && x < box[2] && y >= box[1] && y < box[3] ? [{ id, box, area: (box[2] - box[0]) * (box[3] - box[1]) }] : [];
    });
    return found.sort((a, b) => a.area - b.area)[0];
  }

  /** Whether a pointer there does nothing to regions. @param {PointerEvent} event */
  isFree(event) {
    return this.tool !== 'draw' && !this.#hit(this.#spot(event));
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button) return;
    // A second finger is no part of a drawing.
    if (this.#drag) return this.#cancel();
    if (!event.isPrimary) return;
    this.video.pause();
    this.#canvas.setPointerCapture(event.pointerId);
    const from = this.#spot(event), hit = this.#hit(from);
    if (hit && this.tool !== 'draw') this.dispatchEvent(new CustomEvent(this.tool === 'switch' ? 'flip' : 'choose', { detail: hit.id }));
    if (this.tool !== 'switch') this.#drag = { by: event.pointerId, from, box: null, start: this.tool === 'move' ? (hit?.box ?? null) : null };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const drag = this.#drag;
    if (!drag) {
      this.#canvas.style.cursor = this.tool === 'draw' ? 'crosshair' : this.#hit(this.#spot(event)) ? 'pointer' : '';
      return;
    }
    if (event.pointerId !== drag.by) return;
    const [x, y] = this.#spot(event), { from: [fx, fy], start } = drag;
    if (start) drag.box = moved(start, x - fx, y - fy, this.size.width, this.size.height);
    else if (this.tool === 'draw') drag.box = [Math.min(x, fx), Math.min(y, fy), Math.max(x, fx), Math.max(y, fy)];
    this.draw();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (event.pointerId !== this.#drag?.by) return;
    this.#move(event);
    const box = this.#drag?.box;
    this.#drag = null;
    if (box && box[2] - box[0] > 2 && box[3] - box[1] > 2) this.dispatchEvent(new CustomEvent(this.tool === 'draw' ? 'drawn' : 'put', { detail: box }));
    this.draw();
  }

  #cancel() {
    this.#drag = null;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this;
    if (!width) return;
    const sharp = devicePixelRatio * Math.min(3, this.magnified), thin = sharp / this.magnified;
    if (this.#canvas.width !== Math.round(width * sharp) || this.#canvas.height !== Math.round(height * sharp)) {
      Object.assign(this.#canvas, { width: Math.round(width * sharp), height: Math.round(height * sharp) });
    }
    const paint = this.#canvas.getContext('2d');
    if (!paint) return;
    const scale = (width * sharp) / this.size.width;
    paint.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    /** @param {number[]} box @param {string} colour @param {number} line */
    const frame = ([x0, y0, x1, y1], colour, line) => {
      // A dark line under a bright one shows on any picture.
      for (const [style, more] of /** @type {[string, number][]} */ ([['#000', 2], [colour, 0]])) {
        paint.strokeStyle = style;
        paint.lineWidth = (line + more) * thin;
        paint.strokeRect(x0 * scale, y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale);
      }
    };
    for (const track of this.state) {
      const region = placeAt(track, this.frame)?.region, chosen = track.id === this.chosen;
      if (!region) continue;
      const { xyxy: box } = region, on = track.on && !region.off;
      const [x0, y0, x1, y1] = chosen && this.#drag?.start && this.#drag.box ? this.#drag.box : box;
      if (this.preview && on) {
        paint.fillStyle = '#000';
        paint.fillRect(x0 * scale, y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale);
      }
      if (!this.preview || chosen) {
        paint.setLineDash(on ? [] : [6 * thin, 4 * thin]);
        frame([x0, y0, x1, y1], chosen ? '#fff' : on ? '#5cc4b4' : '#bbb', chosen ? 3 : 2);
        paint.setLineDash([]);
        drawPoints(paint, pointsIn(region, [x0, y0, x1, y1])?.map(([x, y]) => [x * scale, y * scale]), (chosen ? 3 : 2) * thin);
      }
    }
    if (this.#drag?.box && !this.#drag.start) frame(this.#drag.box, colours(this).accent, 2);
  }
}
customElements.define('velum-stage', VelumStage);

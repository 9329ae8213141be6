// @ts-check
/** How regions are drawn over a picture. */
import { maskOf } from './masks.mjs';

/** @typedef {import('./edits.mjs').Edited} Edited */
/** @typedef {import('../parts/viewer.mjs').View} View */

const ON = '#2dd4bf', OFF = '#f5b942';

/** @type {WeakMap<number[], HTMLCanvasElement>} */
const drawn = new WeakMap();

/** @param {Edited} region */
function maskPicture({ xyxy: [x0, y0, x1, y1], mask_runs: runs }) {
  if (!runs) return null;
  const known = drawn.get(runs);
  if (known) return known;
  const canvas = document.createElement('canvas');
  canvas.width = x1 - x0;
  canvas.height = y1 - y0;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const pixels = context.createImageData(canvas.width, canvas.height);
  new Uint32Array(pixels.data.buffer).set(Uint32Array.from(maskOf(runs), (inside) => (inside ? 0x99bfd42d : 0)));
  context.putImageData(pixels, 0, 0);
  drawn.set(runs, canvas);
  return canvas;
}

/**
 * Landmarks, such as the eyes of a face.
 * @param {CanvasRenderingContext2D} context @param {number[][] | undefined} points in pixels of the canvas @param {number} radius
 */
export function drawPoints(context, points = [], radius) {
  for (const [x, y] of points) {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fillStyle = '#fff';
    context.strokeStyle = '#000b';
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
  }
}

/** Where the handles of a box are: shares of its width and height. */
export const HANDLES = [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]];

/**
 * @param {CanvasRenderingContext2D} context @param {View} view @param {readonly Edited[]} regions
 * @param {number} selected @param {boolean} handles
 */
export function drawRegions(context, { scale, x, y }, regions, selected, handles) {
  for (const region of regions) {
    const [x0, y0, x1, y1] = region.xyxy;
    const left = x0 * scale + x, top = y0 * scale + y, width = (x1 - x0) * scale, height = (y1 - y0) * scale;
    if (left > context.canvas.width || top > context.canvas.height || left + width < 0 || top + height < 0) continue;
    const chosen = region.id === selected, mask = maskPicture(region);
    if (mask && region.on) context.drawImage(mask, left, top, width, height);
    else if (region.on && handles) {
      context.fillStyle = '#2dd4bf38';
      context.fillRect(left, top, width, height);
    }
    context.setLineDash(region.on ? [] : [6, 5]);
    context.strokeStyle = '#000b';
    context.lineWidth = chosen ? 5 : 3.5;
    context.strokeRect(left, top, width, height);
    context.strokeStyle = region.on ? ON : OFF;
    context.lineWidth = chosen ? 3 : 1.5;
    context.strokeRect(left, top, width, height);
    context.setLineDash([]);
    if (handles) drawPoints(context, region.points?.map(([px, py]) => [px * scale + x, py * scale + y]), chosen ? 3.5 : 2.5);
    if (!chosen || !handles) continue;
    context.fillStyle = '#fff';
    context.strokeStyle = '#0b3b36';
    context.lineWidth = 1.5;
    for (const [across, down] of HANDLES) {
      // Of a small one, the corners alone leave something to take hold of.
      if (Math.min(width, height) < 40 && (across === 0.5 || down === 0.5)) continue;
      context.beginPath();
      context.rect(left + width * across - 5, top + height * down - 5, 10, 10);
      context.fill();
      context.stroke();
    }
  }
}

/**
 * What is being drawn.
 * @param {CanvasRenderingContext2D} context @param {View} view @param {{ x: number, y: number }[]} points
 * @param {number} radius of the brush in pixels of the picture; 0: a line
 */
export function drawWay(context, { scale, x, y }, points, radius) {
  if (!points.length) return;
  context.beginPath();
  points.forEach((one, i) => context[i ? 'lineTo' : 'moveTo'](one.x * scale + x, one.y * scale + y));
  if (points.length === 1) context.lineTo(points[0].x * scale + x + 0.1, points[0].y * scale + y);
  context.lineCap = context.lineJoin = 'round';
  if (radius) {
    context.lineWidth = radius * 2 * scale;
    context.strokeStyle = '#2dd4bf99';
    context.stroke();
    return;
  }
  for (const [colour, wide] of /** @type {const} */ ([['#000b', 4], [ON, 2]])) {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.stroke();
  }
  for (const one of points) {
    context.fillStyle = '#fff';
    context.beginPath();
    context.arc(one.x * scale + x, one.y * scale + y, 4, 0, 7);
    context.fill();
  }
}

// @ts-check
/** Small pictures of what a technique does at a degree: a drawn person, no photograph. */

const SIDE = 120;
/** Where the face is, in the drawing. */
const FACE = [34, 22, 52, 62];

/** @param {CanvasRenderingContext2D} context */
function person(context) {
  const fill = (/** @type {string} */ colour, /** @type {number[][]} */ ...ellipses) => {
    context.fillStyle = colour;
    for (const [x, y, across, down] of ellipses) {
      context.beginPath();
      context.ellipse(x, y, across, down, 0, 0, 7);
      context.fill();
    }
  };
  context.fillStyle = '#cfe3df';
  context.fillRect(0, 0, SIDE, SIDE);
  fill('#3f6f8f', [60, 128, 46, 42]);
  fill('#d9a074', [60, 88, 11, 14]);
  fill('#5b3a29', [60, 44, 29, 30]);
  fill('#eab78d', [60, 54, 23, 29]);
  fill('#5b3a29', [50, 29, 18, 9], [72, 31, 14, 8]);
  fill('#fff', [51, 52, 5, 3.5], [69, 52, 5, 3.5]);
  fill('#2b2b33', [51, 52, 2.5, 3], [69, 52, 2.5, 3]);
  fill('#c98d62', [60, 62, 3, 5]);
  fill('#a8443d', [60, 73, 9, 3]);
}

/**
 * Draw it into a canvas.
 * @param {HTMLCanvasElement} canvas @param {string} technique @param {number} degree
 */
export function sample(canvas, technique, degree) {
  canvas.width = canvas.height = SIDE;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  person(context);
  const [x, y, width, height] = FACE;
  if (technique === 'blacken') {
    context.fillStyle = `rgb(0 0 0 / ${degree})`;
    context.fillRect(x, y, width, height);
    return;
  }
  const copy = document.createElement('canvas');
  // As velum does it: cells along the longer side, or a blur by the shorter side, drawn large again.
  const cell = technique === 'pixelate' ? Math.max(2, height / Math.max(1, Math.floor(1 / degree))) : Math.max(1, degree * 0.25 * width * 1.2);
  copy.width = Math.max(1, Math.round(width / cell));
  copy.height = Math.max(1, Math.round(height / cell));
  const small = /** @type {CanvasRenderingContext2D} */ (copy.getContext('2d'));
  small.imageSmoothingQuality = 'high';
  small.drawImage(canvas, x, y, width, height, 0, 0, copy.width, copy.height);
  context.imageSmoothingEnabled = technique === 'blur';
  context.imageSmoothingQuality = 'high';
  context.drawImage(copy, x, y, width, height);
}

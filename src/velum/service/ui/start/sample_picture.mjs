// @ts-check
/** A picture to try things with: three people, drawn. No photograph of anybody. */

const WIDTH = 960, HEIGHT = 640;
/** Of each: where, how large, and the colours of skin, hair and shirt. */
const PEOPLE = /** @type {const} */ ([
  [240, 260, 2.1, '#eab78d', '#5b3a29', '#3f6f8f'], [520, 280, 1.7, '#c58c60', '#2d211b', '#8a4b55'], [770, 250, 2.2, '#f0c8a4', '#a8793a', '#4b7a58'],
]);

/** @param {CanvasRenderingContext2D} context @param {typeof PEOPLE[number]} person */
function draw(context, [x, y, scale, skin, hair, shirt]) {
  const fill = (/** @type {string} */ colour, /** @type {number[][]} */ ...ellipses) => {
    context.fillStyle = colour;
    for (const [dx, dy, across, down] of ellipses) {
      context.beginPath();
      context.ellipse(x + dx * scale, y + dy * scale, across * scale, down * scale, 0, 0, 7);
      context.fill();
    }
  };
  fill(shirt, [0, 74, 46, 44]);
  fill(skin, [0, 34, 11, 14]);
  fill(hair, [0, -10, 29, 30]);
  fill(skin, [0, 0, 23, 29]);
  fill(hair, [-10, -25, 18, 9], [12, -23, 14, 8], [-9.5, -9.5, 6, 2], [9.5, -9.5, 6, 2]);
  fill('#fff', [-9, -2, 5, 3.2], [9, -2, 5, 3.2]);
  fill('#2b2b33', [-9, -2, 2.6, 2.8], [9, -2, 2.6, 2.8]);
  fill('#c98d62', [0, 8, 3.2, 5]);
  fill('#dd9988', [-13, 9, 5, 3], [13, 9, 5, 3]);
  fill('#a8443d', [0, 18, 9, 2.6]);
}

/** @param {string} name @returns {Promise<File>} */
export async function samplePicture(name) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width: WIDTH, height: HEIGHT });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  // Soft as a photograph: on edges as sharp as these, networks trained with photographs find less.
  context.filter = 'blur(1.2px)';
  context.fillStyle = '#bcd6e6';
  context.fillRect(0, 0, WIDTH, HEIGHT);
  context.fillStyle = '#8f9a86';
  context.fillRect(0, 430, WIDTH, HEIGHT);
  for (const person of PEOPLE) draw(context, person);
  const blob = await new Promise((go) => canvas.toBlob(go, 'image/png'));
  return new File([/** @type {Blob} */ (blob)], name, { type: 'image/png' });
}

// @ts-check
/**
 * Masks of odd shapes, as the regions file has them: `runs` are run lengths in a box of width x height, row by row,
 * beginning with pixels that are not hidden.
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ xyxy: number[], mask_runs: number[] }} Shape
 */

/** @param {Uint8Array} mask @returns {number[]} */
export function runsOf(mask) {
  const runs = [];
  let value = 0, count = 0;
  for (const one of mask) {
    if (one !== value) {
      runs.push(count);
      value = one;
      count = 0;
    }
    count += 1;
  }
  runs.push(count);
  return runs;
}

/** @param {number[]} runs @returns {Uint8Array} */
export function maskOf(runs) {
  const mask = new Uint8Array(runs.reduce((sum, one) => sum + one, 0));
  let at = 0;
  runs.forEach((count, i) => {
    if (i % 2) mask.fill(1, at, at + count);
    at += count;
  });
  return mask;
}

/**
 * The mask of a box, in a box of another size.
 * @param {number[]} runs @param {number} width @param {number} height @param {number} newWidth @param {number} newHeight
 */
export function resized(runs, width, height, newWidth, newHeight) {
  const mask = maskOf(runs), made = new Uint8Array(newWidth * newHeight);
  for (let y = 0; y < newHeight; y += 1) {
    const row = Math.min(height - 1, Math.floor((y + 0.5) * height / newHeight)) * width;
    for (let x = 0; x < newWidth; x += 1) made[y * newWidth + x] = mask[row + Math.min(width - 1, Math.floor((x + 0.5) * width / newWidth))];
  }
  return runsOf(made);
}

/**
 * What a test covers of a box, cut to the picture; null when it is nothing.
 * @param {number[]} around @param {number} width @param {number} height
 * @param {(x: number, y: number) => boolean} covers is asked for the middle of each pixel
 * @returns {Shape | null}
 */
function shape(around, width, height, covers) {
  const x0 = Math.max(0, Math.floor(around[0])), y0 = Math.max(0, Math.floor(around[1]));
  const x1 = Math.min(width, Math.ceil(around[2])), y1 = Math.min(height, Math.ceil(around[3]));
  if (x1 <= x0 || y1 <= y0) return null;
  const mask = new Uint8Array((x1 - x0) * (y1 - y0));
  let any = false;
  for (let y = y0, i = 0; y < y1; y += 1) {
    for (let x = x0; x < x1; x += 1, i += 1) {
      if (covers(x + 0.5, y + 0.5)) {
        mask[i] = 1;
        any = true;
      }
    }
  }
  return any ? { xyxy: [x0, y0, x1, y1], mask_runs: runsOf(mask) } : null;
}

/** @param {Point[]} points @param {number} [by] */
function around(points, by = 0) {
  const xs = points.map(({ x }) => x), ys = points.map(({ y }) => y);
  return [Math.min(...xs) - by, Math.min(...ys) - by, Math.max(...xs) + by, Math.max(...ys) + by];
}

/**
 * The inside of a polygon, by the even-odd rule.
 * @param {Point[]} points @param {number} width of the picture @param {number} height
 */
export function polygon(points, width, height) {
  if (points.length < 3) return null;
  return shape(around(points), width, height, (x, y) => {
    let inside = false;
    for (let i = 0, j = points.length - 1; i < points.length; j = i, i += 1) {
      const a = points[i], b = points[j];
      if ((a.y > y) !== (b.y > y) && x < (b.x - a.x) * (y - a.y) / (b.y - a.y) + a.x) inside = !inside;
    }
    return inside;
  });
}

/**
 * What a round brush covers on its way.
 * @param {Point[]} points @param {number} radius @param {number} width of the picture @param {number} height
 */
export function stroke(points, radius, width, height) {
  if (!points.length) return null;
  return shape(around(points, radius), width, height, (x, y) => points.some((a, i) => {
    const b = points[Math.min(i + 1, points.length - 1)];
    const dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
    const s = length ? Math.max(0, Math.min(1, ((x - a.x) * dx + (y - a.y) * dy) / length)) : 0;
    return (x - a.x - s * dx) ** 2 + (y - a.y - s * dy) ** 2 <= radius * radius;
  }));
}

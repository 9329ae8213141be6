// @ts-check
/** When each frame of a video is shown: only so does a frame of the page have the number that it has in the file. */

const RATES = [12, 15, 24000 / 1001, 24, 25, 30000 / 1001, 30, 48, 50, 60000 / 1001, 60, 100, 120000 / 1001, 120, 240];
const MOST_BYTES = 64 << 20;

/** @param {DataView} data @param {number} from @param {number} to */
function* boxes(data, from, to) {
  while (from + 8 <= to) {
    let size = data.getUint32(from), head = 8;
    if (size === 1 && from + 16 <= to) [size, head] = [Number(data.getBigUint64(from + 8)), 16];
    if (size === 0) size = to - from;
    if (size < head) return;
    const type = String.fromCharCode(...[4, 5, 6, 7].map((i) => data.getUint8(from + i)));
    yield { type, from: from + head, to: Math.min(to, from + size), size };
    from += size;
  }
}

/** @param {DataView} data @param {{ from: number, to: number }} where @param {...string} path */
function box(data, where, ...path) {
  /** @type {{ from: number, to: number } | undefined} */
  let at = where;
  for (const name of path) at = at && [...boxes(data, at.from, at.to)].find(({ type }) => type === name);
  return at;
}

/**
 * Read runs of a table: how many, and the value.
 * @param {DataView} data @param {{ from: number } | undefined} at
 * @returns {number[]}
 */
function runs(data, at) {
  if (!at) return [];
  const made = [];
  for (let i = 0, n = data.getUint32(at.from + 4); i < n; i += 1) {
    const count = data.getUint32(at.from + 8 + 8 * i), value = data.getInt32(at.from + 12 + 8 * i);
    for (let k = 0; k < count; k += 1) made.push(value);
  }
  return made;
}

/**
 * The times in seconds, in order, from the box `moov` of an MP4 or MOV (ISO/IEC 14496-12: stts, ctts, elst); null
 * where it does not tell them.
 * @param {DataView} data the inside of the box
 * @returns {number[] | null}
 */
export function timesOf(data) {
  const all = { from: 0, to: data.byteLength };
  try {
    const movie = box(data, all, 'mvhd');
    for (const track of [...boxes(data, 0, data.byteLength)].filter(({ type }) => type === 'trak')) {
      const kind = box(data, track, 'mdia', 'hdlr'), header = box(data, track, 'mdia', 'mdhd');
      if (!movie || !kind || !header || data.getUint32(kind.from + 8) !== 0x76696465) continue;
      const steps = runs(data, box(data, track, 'mdia', 'minf', 'stbl', 'stts'));
      if (!steps.length) return null;
      const shifts = runs(data, box(data, track, 'mdia', 'minf', 'stbl', 'ctts'));
      const units = data.getUint32(header.from + (data.getUint8(header.from) ? 20 : 12));
      const movieUnits = data.getUint32(movie.from + (data.getUint8(movie.from) ? 20 : 12));
      const edit = edited(data, box(data, track, 'edts', 'elst'));
      let decoded = 0;
      const shown = steps.map((step, i) => {
        const at = decoded + (shifts[i] ?? 0) - edit.start;
        decoded += step;
        return at;
      });
      return shown.filter((at) => at >= 0 && at / units < edit.lasts / movieUnits).sort((a, b) => a - b).map((at) => at / units + edit.wait / movieUnits);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return null;
}

/** @param {DataView} data @param {{ from: number } | undefined} at */
function edited(data, at) {
  let wait = 0;
  if (!at) return { start: 0, wait, lasts: Infinity };
  const long = data.getUint8(at.from) === 1;
  for (let i = 0, n = data.getUint32(at.from + 4), one = at.from + 8; i < n; i += 1, one += long ? 20 : 12) {
    const start = long ? Number(data.getBigInt64(one + 8)) : data.getInt32(one + 4);
    const lasts = long ? Number(data.getBigUint64(one)) : data.getUint32(one);
    if (start >= 0) return { start, wait, lasts: lasts || Infinity };
    wait += lasts;
  }
  return { start: 0, wait, lasts: Infinity };
}

/**
 * Find the box `moov` of a file and read the times from it; null for other files.
 * @param {(from: number, to: number) => Promise<ArrayBuffer>} read bytes of the file, fewer at its end
 */
export async function readTimes(read) {
  for (let at = 0, steps = 0; steps < 64; steps += 1) {
    const head = new DataView(await read(at, at + 16));
    if (head.byteLength < 8) return null;
    const [one] = boxes(head, 0, head.byteLength);
    if (!one || !/^[a-z]{4}$/.test(one.type)) return null;
    if (one.type === 'moov') {
      if (one.size > MOST_BYTES) return null;
      return timesOf(new DataView(await read(at + one.from, at + one.size)));
    }
    at += one.size;
  }
  return null;
}

/**
 * Times of frames that follow each other evenly, at the usual rate that fits best.
 * @param {number} frames @param {number} seconds that the video lasts, or its sound
 */
export function evenly(frames, seconds) {
  const roughly = frames / seconds;
  const best = RATES.reduce((a, b) => (Math.abs(b - roughly) < Math.abs(a - roughly) ? b : a));
  const rate = Math.abs(best / roughly - 1) < 0.01 ? best : roughly;
  return Array.from({ length: frames }, (_, i) => i / rate);
}

/**
 * The frame that is shown at a time.
 * @param {readonly number[]} times @param {number} seconds
 */
export function frameAt(times, seconds) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= seconds + 0.0005) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/**
 * A time within a frame, away from its neighbours'.
 * @param {readonly number[]} times @param {number} frame
 */
export const within = (times, frame) => times[frame] + ((times[frame + 1] ?? times[frame] + 0.02) - times[frame]) / 2;

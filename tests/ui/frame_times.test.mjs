import assert from 'node:assert/strict';
import { test } from 'node:test';
import { timesOf } from '../../src/velum/service/ui/video/frame_times.mjs';

const word = (...values) => values.flatMap((value) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255));
const box = (type, ...inside) => {
  const data = inside.flat();
  return [...word(data.length + 8), ...type.split('').map((one) => one.charCodeAt(0)), ...data];
};

/** Ten frames of 40 ms in units of 1/1000 s, and edits of [how long, from where] in the same units. */
const movie = (...edits) => {
  const track = box('trak',
    edits.length ? box('edts', box('elst', word(0, edits.length), edits.flatMap(([lasts, start]) => word(lasts, start, 0x10000)))) : [],
    box('mdia', box('hdlr', word(0, 0, 0x76696465)), box('mdhd', word(0, 0, 0, 1000)),
      box('minf', box('stbl', box('stts', word(0, 1, 10, 40))))));
  return new DataView(Uint8Array.from([...box('mvhd', word(0, 0, 0, 1000)), ...track]).buffer);
};
const milliseconds = (times) => times.map((time) => Math.round(time * 1000));

test('frames that an edit list leaves out at either end have no time', () => {
  assert.deepEqual(milliseconds(timesOf(movie())), [0, 40, 80, 120, 160, 200, 240, 280, 320, 360]);
  assert.deepEqual(milliseconds(timesOf(movie([400, 120]))), [0, 40, 80, 120, 160, 200, 240]);
  assert.deepEqual(milliseconds(timesOf(movie([100, 120]))), [0, 40, 80]);
  assert.deepEqual(milliseconds(timesOf(movie([500, -1], [81, 0]))), [500, 540, 580]);
  assert.deepEqual(milliseconds(timesOf(movie([0, 320]))), [0, 40], 'a length of 0 says nothing');
});

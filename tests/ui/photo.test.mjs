import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shownMembers, tracksAt } from '../../src/velum/service/ui/photo/members.mjs';
import * as edits from '../../src/velum/service/ui/photo/edits.mjs';
import { maskOf, polygon, resized, runsOf, stroke } from '../../src/velum/service/ui/photo/masks.mjs';
import { drawnLabels, hiddenText, tracksIn } from '../../src/velum/service/ui/photo/labels.mjs';

const face = (xyxy, more = {}) => ({ label: 'face', xyxy, score: 0.9, found: 'detected', ...more });

test('masks come back from their run lengths, which begin with what is not hidden', () => {
  assert.deepEqual(runsOf(Uint8Array.of(1, 1, 0, 1)), [0, 2, 1, 1]);
  assert.deepEqual(runsOf(Uint8Array.of(0, 0)), [2]);
  for (const mask of [[1], [0], [0, 1, 1, 0, 1], [1, 0, 0]]) assert.deepEqual([...maskOf(runsOf(Uint8Array.from(mask)))], mask);
});

test('a polygon covers its inside, and stays in the picture', () => {
  const square = polygon([{ x: 2, y: 2 }, { x: 6, y: 2 }, { x: 6, y: 5 }, { x: 2, y: 5 }], 20, 20);
  assert.deepEqual(square, { xyxy: [2, 2, 6, 5], mask_runs: [0, 12] });
  assert.deepEqual(polygon([{ x: -5, y: -5 }, { x: 3, y: -5 }, { x: 3, y: 3 }, { x: -5, y: 3 }], 20, 20)?.xyxy, [0, 0, 3, 3]);
  assert.equal(polygon([{ x: 1, y: 1 }, { x: 5, y: 5 }], 20, 20), null);
  assert.equal(polygon([{ x: 30, y: 30 }, { x: 40, y: 30 }, { x: 30, y: 40 }], 20, 20), null);
});

test('a brush covers what is within its radius of its way', () => {
  const { xyxy, mask_runs: runs } = stroke([{ x: 5, y: 5 }, { x: 15, y: 5 }], 3, 30, 30);
  assert.deepEqual(xyxy, [2, 2, 18, 8]);
  const mask = maskOf(runs);
  assert.equal(mask[0], 0, 'its ends are round');
  assert.equal(mask[3 * 16], 1);
  assert.equal(mask.length, 16 * 6);
});

test('a mask grows with its box', () => {
  assert.deepEqual([...maskOf(resized([0, 1, 1], 2, 1, 4, 2))], [1, 1, 0, 0, 1, 1, 0, 0]);
});

test('every step can be undone and done again; a new one forgets those undone', () => {
  const history = new edits.History(edits.stateOf([face([0, 0, 9, 9])]));
  for (let n = 1; n <= 500; n += 1) history.push(edits.place(history.now, 1, [n, 0, n + 9, 9], 1000, 100));
  for (let n = 0; n < 500; n += 1) history.undo();
  assert.deepEqual(history.now[0].xyxy, [0, 0, 9, 9]);
  assert.equal(history.changed, false);
  assert.equal(history.canUndo, false);
  history.redo();
  assert.deepEqual(history.now[0].xyxy, [1, 0, 10, 9]);
  history.push(edits.remove(history.now, 1));
  assert.equal(history.canRedo, false);
});

test('what is switched off is kept as such, and the file has only what it knows', () => {
  let state = edits.stateOf([face([0, 0, 9, 9]), face([20, 0, 29, 9], { track: 3 })]);
  state = edits.change(state, 1, { on: false });
  state = edits.add(state, { label: 'person', xyxy: [1, 1, 5, 5] }).state;
  state = edits.change(state, 2, { technique: 'blur(degree=0.8)' });
  state = edits.change(edits.change(state, 3, { technique: 'blur' }), 3, { technique: undefined });
  const made = edits.regionsOf(state);
  assert.deepEqual(made, [
    { ...face([0, 0, 9, 9]), off: true }, { ...face([20, 0, 29, 9], { track: 3 }), technique: 'blur(degree=0.8)' }, { label: 'person', xyxy: [1, 1, 5, 5], score: 1, found: 'manual' },
  ]);
  assert.deepEqual(edits.stateOf(made).map(({ on }) => on), [false, true, true]);
});

test('boxes stay in the picture: moved ones keep their size', () => {
  assert.deepEqual(edits.moved([5, 5, 15, 15], 100, -100, 40, 40), [30, 0, 40, 10]);
  assert.deepEqual(edits.inside([9, 9, 2, 50], 40, 40), [2, 9, 9, 40]);
  assert.deepEqual(edits.inside([100, 100, 100, 100], 40, 40), [39, 39, 40, 40]);
});

test('similar ones have the label and about the size, and take over what one is', () => {
  let state = edits.stateOf([face([0, 0, 10, 10]), face([20, 0, 38, 18]), face([0, 20, 90, 110]), { ...face([0, 0, 9, 9]), label: 'text' }]);
  assert.deepEqual(edits.similar(state, 1).map(({ id }) => id), [1, 2]);
  state = edits.change(state, 1, { on: false, technique: 'blur' });
  state = edits.likewise(state, 1, edits.similar(state, 1));
  assert.deepEqual(state.map(({ on }) => on), [false, false, true, true]);
  assert.deepEqual(state.map(({ technique }) => technique), ['blur', 'blur', undefined, undefined]);
});

test('landmarks move with a region that is moved, and go with one that is resized', () => {
  const state = edits.stateOf([face([0, 0, 9, 9], { points: [[1, 2]] }), face([20, 0, 29, 9], { points: [[21, 2]] })]);
  const placed = edits.regionsOf(edits.place(state, 1, [1, 0, 9, 9], 50, 50));
  assert.deepEqual(placed.map(({ points }) => points), [undefined, [[21, 2]]]);
  assert.deepEqual(edits.place(state, 2, [25, 3, 34, 12], 50, 50).map(({ points }) => points), [[[1, 2]], [[26, 5]]]);
});

test('a placed region is by hand, and a mask follows its size', () => {
  const state = edits.place(edits.stateOf([face([0, 0, 2, 1], { mask_runs: [0, 1, 1] })]), 1, [0, 0, 4, 2], 50, 50);
  assert.equal(state[0].found, 'manual');
  assert.equal(state[0].mask_runs.reduce((sum, one) => sum + one), 8);
});

test('a label that no rule names is hidden by the technique of the first rule', () => {
  const { labels, techniqueFor } = drawnLabels(['license plate: yolo -> blur(degree=0.8) with grow=0.1', 'face: a -> blacken', 'person: by-hand -> blacken']);
  assert.deepEqual(labels, ['license plate', 'face', 'person', 'text', 'other']);
  assert.equal(techniqueFor('license_plate'), undefined);
  assert.equal(techniqueFor('person'), 'blur(degree=0.8)');
});

test('what is hidden is counted as people say it', () => {
  const labels = ['license plate', 'face', 'face', 'license_plate', 'face'];
  assert.equal(hiddenText(labels, 'en'), '3 faces and 2 number plates hidden');
  assert.equal(hiddenText(labels, 'de'), '3 Gesichter und 2 Kennzeichen unkenntlich');
  assert.equal(hiddenText(['person', 'fire hydrant'], 'de'), '1 Mensch und 1 × fire hydrant unkenntlich');
  assert.equal(hiddenText([], 'de'), 'Nichts unkenntlich');
});

test('members of an archive are shown as pages, videos and sounds, with the tracks of each', () => {
  const members = [
    { name: 'a.tif', action: 'hidden', first_frame: 0, frames: 2, format: 'TIFF' },
    { name: 'clip.bin', action: 'hidden', first_frame: 2, frames: 10, format: 'MP4' },
    { name: '/camera', action: 'hidden', first_frame: 12, frames: 5, messages: 5 },
    { name: 'a.wav', action: 'hidden', first_frame: 17, frames: 0, format: 'WAV', sound: [{ stream: 0, action: 'silence' }] },
    { name: 'notes.txt', action: 'copied' },
  ];
  const tracks = [{ label: 'face', first_frame: 3, last_frame: 5 }, { label: 'person', first_frame: 12, last_frame: 16 }];
  const shown = shownMembers({ members, tracks, hidden: [{ label: 'text', frame: 1 }], warnings: [] });
  assert.deepEqual(shown.map(({ member, kind, page, labels }) => [member.name, kind, page, labels]), [
    ['a.tif', 'page', 0, []], ['a.tif', 'page', 1, ['text']], ['clip.bin', 'film', 0, ['face']], ['/camera', 'film', 0, ['person']], ['a.wav', 'sound', 0, []],
  ]);
  assert.deepEqual(shown[2].tracks, [{ label: 'face', first_frame: 1, last_frame: 3 }]);
  assert.deepEqual([0, 1, 3, 4].map((frame) => tracksAt(shown[2].tracks, frame).length), [0, 1, 1, 0]);
});

test('a list counts as many tracks as the page of the video shows', () => {
  assert.equal(tracksIn([{ track: 3, frames: 125 }, { track: 6, frames: 9 }, { track: null, frames: 166 }]), 168);
  assert.equal(tracksIn([]), 0);
});

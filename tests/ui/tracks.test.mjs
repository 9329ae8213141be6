import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as tracks from '../../src/velum/service/ui/video/tracks.mjs';
import { rowsOf, zoomed } from '../../src/velum/service/ui/video/timeline_layout.mjs';
import { coco, yolo } from '../../src/velum/service/ui/video/export_annotations.mjs';
import { History } from '../../src/velum/service/ui/photo/edits.mjs';

const region = (track, x, more = {}) => ({ label: 'face', xyxy: [x, 10, x + 10, 20], score: 0.9, found: 'detected', track, ...more });

/** Ten frames: 1 is in all but 6, filled in 3 and 4, doubtful in 8; 2 is in 5 to 7. */
const file = () => ({
  format: 'velum-regions/1', width: 100, height: 50, sha256: null, models: [],
  frames: Array.from({ length: 10 }, (_, index) => ({
    index,
    regions: [
      ...(index === 6 ? [] : [region(1, index, { found: index === 3 || index === 4 ? 'interpolated' : 'detected', score: index === 8 ? 0.3 : 0.9 })]),
      ...(index >= 5 && index <= 7 ? [region(2, 60, { label: 'license_plate' })] : []),
    ],
  })),
});
const frames = (track) => track.places.map(({ at }) => at);
const boxes = (track) => track.places.map(({ region: { xyxy } }) => xyxy[0]);

test('a file becomes tracks and the same file again', () => {
  const state = tracks.tracksOf(file());
  assert.deepEqual(state.map(({ id, label }) => [id, label]), [[1, 'face'], [2, 'license_plate']]);
  assert.deepEqual(tracks.fileOf(file(), state), file());
  assert.equal(tracks.framesIn(file()), 10);
  assert.deepEqual(tracks.stretchesOf(state[0]), [
    { from: 0, to: 2, kind: 'detected' }, { from: 3, to: 4, kind: 'filled' }, { from: 5, to: 5, kind: 'detected' },
    { from: 7, to: 9, kind: 'detected' },
  ]);
});

test('nothing is lost of what was never followed, nor of numbers used twice', () => {
  const given = { ...file(), frames: [{ index: 0, regions: [region(undefined, 1), region(7, 2), region(7, 3), region(7, 4, { label: 'text' })] }] };
  const state = tracks.tracksOf(given);
  assert.equal(state.length, 4);
  assert.equal(new Set(state.map(({ id }) => id)).size, 4);
  assert.deepEqual(tracks.fileOf(given, state).frames[0].regions.map(({ xyxy }) => xyxy[0]).sort(), [1, 2, 3, 4]);
});

test('landmarks move with a box that was moved by hand, and go with one that was resized', () => {
  const seen = { ...file(), frames: [{ index: 0, regions: [region(1, 10, { points: [[12, 12], [18, 12]] })] }] };
  const [moved] = tracks.put(tracks.tracksOf(seen), 1, 0, [30, 15, 40, 25], 100, 50);
  assert.deepEqual(moved.places[0].region.points, [[32, 17], [38, 17]]);
  const [resized] = tracks.put(tracks.tracksOf(seen), 1, 0, [30, 15, 41, 25], 100, 50);
  assert.equal('points' in resized.places[0].region, false);
});

test('what is off or deleted is not hidden, and every frame stays in the file', () => {
  const state = tracks.tracksOf(file());
  const off = tracks.fileOf(file(), tracks.switched(state, 1, false));
  assert.equal(off.frames.length, 10);
  assert.ok(off.frames.every(({ regions }) => regions.every(({ track, off: isOff }) => (track === 2) !== (isOff === true))));
  assert.deepEqual(tracks.removed(state, 1).map(({ id }) => id), [2]);
  assert.deepEqual(tracks.fileOf(file(), tracks.switched(tracks.switched(state, 1, false), 1, true)), file());
});

test('what was not changed stays as it was in the file', () => {
  const [a, b, loose, c] = [region(4, 50), region(1, 5), region(undefined, 70, { score: 0.3 }), region(9, 80)];
  const given = { ...file(), frames: [{ index: 0, regions: [a, loose] }, { index: 1, regions: [c, a, loose, b] }, { index: 2, regions: [b, c] }] };
  const state = tracks.tracksOf(given);
  assert.deepEqual(tracks.fileOf(given, state), given, 'numbers and order');
  const made = tracks.fileOf(given, tracks.switched(state, 1, false));
  assert.deepEqual(made.frames[0], given.frames[0]);
  assert.deepEqual(made.frames[1].regions.map(({ xyxy: [x], off = false }) => [x, off]), [[80, false], [50, false], [70, false], [5, true]]);
  const again = tracks.fileOf(given, tracks.switched(tracks.tracksOf(made), 1, true));
  assert.deepEqual(again, given, 'on again, after it was hidden anew');
});

test('what is off in some frames stays so until its track is switched', () => {
  const off = (...indexes) => ({ ...file(), frames: [0, 1, 2].map((index) => ({ index, regions: [region(1, 5, indexes.includes(index) ? { off: true } : {})] })) });
  const given = off(1), state = tracks.tracksOf(given);
  assert.deepEqual(tracks.fileOf(given, state), given);
  assert.deepEqual(tracks.stretchesOf(state[0]).map(({ from, to }) => [from, to]), [[0, 0], [2, 2]]);
  assert.deepEqual(tracks.fileOf(given, tracks.switched(tracks.switched(state, 1, false), 1, true)), off());
  assert.deepEqual(tracks.split(tracks.tracksOf(off(2)), 1, 2).map(({ on }) => on), [true, false]);
});

test('a track is split before a frame, and merged again', () => {
  const state = tracks.tracksOf(file());
  const two = tracks.split(state, 1, 5);
  assert.deepEqual(two.map((one) => [one.id, frames(one)]), [[1, [0, 1, 2, 3, 4]], [3, [5, 7, 8, 9]], [2, [5, 6, 7]]]);
  assert.deepEqual(tracks.merged(two, 1, 3).find(({ id }) => id === 1), state[0]);
  assert.deepEqual(tracks.split(state, 1, 0), state, 'nothing would be before it');
  assert.equal(tracks.merged(state, 1, 2), state, 'both are in frame 5');
});

test('a track reaches further where it was last, and its holes are closed in a straight line', () => {
  const state = tracks.tracksOf(file());
  const second = (to) => tracks.extended(state, 2, to).find(({ id }) => id === 2);
  assert.deepEqual(frames(second(9)), [5, 6, 7, 8, 9]);
  assert.deepEqual(frames(second(2)), [2, 3, 4, 5, 6, 7]);
  assert.equal(second(9).places[4].region.found, 'manual');
  const whole = tracks.extended(state, 1, 6).find(({ id }) => id === 1);
  assert.deepEqual(frames(whole), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(whole.places[6].region.xyxy, [6, 10, 16, 20]);
});

test('what is drawn is there for a while, and moves straight between where it is put', () => {
  const at = { label: 'face', xyxy: [10, 5, 20, 15], width: 100, height: 50 };
  const { state, id } = tracks.drawn([], { ...at, at: 4, from: 0, to: 8 });
  const track = (now) => now.find((one) => one.id === id);
  assert.deepEqual(frames(track(state)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  const moved = tracks.put(state, id, 8, [50, 5, 60, 15], 100, 50);
  assert.deepEqual(boxes(track(moved)), [10, 10, 10, 10, 10, 20, 30, 40, 50]);
  const again = tracks.put(moved, id, 6, [20, 5, 30, 15], 100, 50);
  assert.deepEqual(boxes(track(again)), [10, 10, 10, 10, 10, 15, 20, 35, 50]);
  assert.deepEqual(boxes(track(tracks.put(again, id, 10, [50, 5, 60, 15], 100, 50))).slice(8), [50, 50, 50], 'it reaches as far');
  const found = tracks.put(tracks.tracksOf(file()), 1, 1, [80, 5, 300, 15], 100, 50)[0];
  assert.deepEqual([found.places[0].region.found, found.places[1].region.xyxy, found.places[2].region.xyxy[0]], ['detected', [80, 5, 100, 15], 2]);
});

test('what is switched off stays in the file, and a technique goes with its track', () => {
  const state = tracks.hiddenBy(tracks.switched(tracks.tracksOf(file()), 2, false), 1, 'blur(degree=0.8)');
  const made = tracks.fileOf(file(), state), again = tracks.tracksOf(made);
  assert.deepEqual(again.map(({ id, on }) => [id, on]), state.map(({ id, on }) => [id, on]));
  assert.deepEqual([...new Set(again.find(({ id }) => id === 1).places.map(({ region }) => region.technique))], ['blur(degree=0.8)']);
  assert.deepEqual(made.frames.flatMap(({ regions }) => regions.filter(({ track, off }) => (track === 2) !== (off === true))), []);
  assert.deepEqual(tracks.fileOf(file(), tracks.hiddenBy(tracks.switched(again, 2, true), 1, undefined)), tracks.fileOf(file(), tracks.tracksOf(file())));
  const [mixed] = tracks.tracksOf({ ...file(), frames: [0, 1].map((index) => ({ index, regions: [{ label: 'face', xyxy: [0, 0, 9, 9], track: 1, off: index === 0 }] })) });
  assert.ok(mixed.on, 'what is partly on is hidden');
  assert.equal(tracks.extended(state, 1, 12).find(({ id }) => id === 1).places.at(-1).region.technique, 'blur(degree=0.8)');
});

test('what was followed is a track whose keyframe is where it was drawn', () => {
  const regions = (x, found) => [{ label: 'face', xyxy: [x, 5, x + 10, 15], score: 1, found }];
  const { state, id } = tracks.followed(tracks.tracksOf(file()), 'face', 4, [
    { index: 3, regions: regions(9, 'back-filled') }, { index: 4, regions: regions(10, 'manual') }, { index: 5, regions: regions(11, 'interpolated') }]);
  const made = state.find((one) => one.id === id);
  assert.equal(state.filter((one) => one.id === id).length, 1);
  assert.deepEqual([frames(made), boxes(made)], [[3, 4, 5], [9, 10, 11]]);
  assert.deepEqual(tracks.stretchesOf(made).map(({ kind }) => kind), ['filled', 'manual', 'filled']);
  assert.deepEqual(boxes(tracks.put(state, id, 4, [50, 5, 60, 15], 100, 50).find((one) => one.id === id)), [9, 50, 11]);
});

test('doubtful moments are in order, and none is made of what is off', () => {
  const state = tracks.tracksOf(file());
  assert.deepEqual(tracks.doubtsOf(state, 10), [
    { at: 3, id: 1, why: 'filled' }, { at: 5, id: 2, why: 'start' }, { at: 6, id: 1, why: 'gap' },
    { at: 7, id: 2, why: 'end' }, { at: 8, id: 1, why: 'low' },
  ]);
  assert.deepEqual(tracks.doubtsOf(tracks.switched(tracks.switched(state, 1, false), 2, false), 10), []);
});

test('each change can be undone', () => {
  const history = new History(tracks.tracksOf(file()));
  history.push(tracks.split(history.now, 1, 5));
  history.push(tracks.removed(history.now, 3));
  history.undo();
  history.undo();
  assert.deepEqual(tracks.fileOf(file(), history.now), file());
  history.redo();
  assert.equal(history.now.length, 3);
});

test('ten minutes of video become tracks', () => {
  const long = { ...file(), frames: Array.from({ length: 18_000 }, (_, index) => ({ index, regions: Array.from({ length: 6 }, (_, n) => region(1 + n + 6 * Math.floor(index / 300), n)) })) };
  const state = tracks.tracksOf(long);
  tracks.doubtsOf(state, 18_000);
  assert.equal(state.length, 360);
});

test('training data has each region once, in the boxes of its format', () => {
  const made = coco(file(), 'clip');
  assert.equal(made.images.length, 10);
  assert.equal(made.annotations.length, 12);
  assert.deepEqual(made.categories, [{ id: 1, name: 'face' }, { id: 2, name: 'license_plate' }]);
  assert.deepEqual(made.annotations[0], { id: 1, image_id: 1, category_id: 1, bbox: [0, 10, 10, 10], area: 100, iscrowd: 0, track_id: 1 });
  const [names, first, ...rest] = yolo(file(), 'clip');
  assert.match(names.text, /0: "face"\n {2}1: "license_plate"/);
  assert.deepEqual(first, { name: 'labels/clip_000000.txt', text: '0 0.050000 0.300000 0.100000 0.200000\n' });
  assert.equal(rest.length, 9);
});

test('edits make of a state what they were taken from, and leave out what did not change', () => {
  const place = (at, more = {}) => ({ at, nth: 0, region: { label: 'face', xyxy: [0, 0, 9, 9], score: 0.9, found: 'detected', ...more } });
  const first = [
    { id: 1, label: 'face', on: true, places: [place(0), place(1)] }, { id: 2, label: 'face', on: true, places: [place(3)] },
    { id: 3, label: 'face', on: true, places: [place(5)] },
  ];
  const now = [...tracks.removed(tracks.switched(first, 1, false), 2), { id: 4, label: 'person', on: true, places: [place(7)] }];
  const edits = tracks.editsOf(first, now);
  assert.deepEqual(edits, { tracks: [{ id: 1, label: 'face', on: false }, { id: 4, label: 'person', on: true, places: [place(7)] }], removed: [2] });
  assert.deepEqual(tracks.withEdits(first, JSON.parse(JSON.stringify(edits))), now);
  assert.deepEqual(tracks.withEdits(first, {}), first);
});

test('what was found badly, filled in or short is doubted, and what was drawn is not', () => {
  const track = (n, more) => ({ id: 1, label: 'face', on: true, places: Array.from({ length: n }, (_, at) => ({ at, region: { label: 'face', xyxy: [0, 0, 9, 9], ...more } })) });
  assert.ok(tracks.doubtOf(track(50, { score: 0.95, found: 'detected' })) < tracks.DOUBTFUL);
  assert.ok(tracks.doubtOf(track(2, { score: 0.5, found: 'detected' })) >= tracks.DOUBTFUL);
  assert.ok(tracks.doubtOf(track(50, { score: 0.3, found: 'detected' })) >= tracks.DOUBTFUL);
  assert.equal(tracks.doubtOf(track(1, { found: 'manual' })), 0);
});

test('doubtful moments that are near are one stop', () => {
  const doubts = [1, 5, 12, 30].map((at) => ({ at, id: 1, why: 'low' }));
  assert.deepEqual(tracks.stopsOf(doubts, 10).map((stop) => stop.map(({ at }) => at)), [[1, 5], [12], [30]]);
});

test('rows of a label are next to each other, and tracks share one where they are not at the same time', () => {
  const track = (id, label, from, to) => ({ id, label, on: true, places: [from, to].map((at) => ({ at, region: { label, xyxy: [0, 0, 9, 9] } })) });
  const { rows, labels } = rowsOf([track(1, 'face', 0, 5), track(2, 'plate', 1, 9), track(3, 'face', 3, 8), track(4, 'face', 7, 9)]);
  assert.deepEqual(labels, ['face', 'face', 'plate']);
  assert.deepEqual([...rows].sort((a, b) => a[0] - b[0]), [[1, 0], [2, 2], [3, 1], [4, 0]]);
});

test('the timeline is zoomed around a place, from all of it to single frames', () => {
  const view = zoomed({ zoom: 1, left: 0 }, 4, 100, 400, 1000);
  assert.deepEqual(view, { zoom: 4, left: 300 }, 'what was at 100 of 400 is at 400 of 1600, which is 100 from the left');
  assert.deepEqual(zoomed(view, 0.25, 100, 400, 1000), { zoom: 1, left: 0 });
  assert.equal(zoomed(view, 1e9, 0, 400, 1000).zoom, 60);
  assert.equal(zoomed({ zoom: 1, left: 0 }, 2, 0, 400, 5).zoom, 1, 'a few frames need no zoom');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doubtful, keyOf, kindOf, tracksOf, without } from '../../src/velum/service/ui/video/tracks.mjs';

const region = (label, track, found = 'detected', score = 0.9) => ({ label, track, found, score, xyxy: [0, 0, 9, 9] });
const video = (...frames) => ({ format: 'velum-regions/1', width: 64, height: 48, frames: frames.map((regions, index) => ({ index, regions })) });

test('a thing is followed through its frames, with how it is known in them', () => {
  const [face, plate, ...rest] = tracksOf(video(
    [region('face', 1)], [region('face', 1), region('plate', 1)], [region('face', 1, 'interpolated')], [], [region('face', 1, 'detected', 0.95)]));
  assert.equal(rest.length, 0);
  assert.deepEqual([face.label, face.first, face.last, face.best, face.at.size], ['face', 0, 4, 0.95, 4]);
  assert.deepEqual(face.stretches, [
    { from: 0, to: 1, kind: 'detected' }, { from: 2, to: 2, kind: 'filled' }, { from: 4, to: 4, kind: 'detected' }]);
  assert.deepEqual([plate.label, plate.first, plate.last], ['plate', 1, 1]);
});

test('frames may come in any order, and things without a number are one for each label', () => {
  const given = video([region('face')], [region('face')]);
  given.frames.reverse();
  assert.deepEqual(tracksOf(given).map(({ key, first, last }) => [key, first, last]), [['face/', 0, 1]]);
  assert.equal(keyOf(region('face', 0)), 'face/0');
});

test('how a region is known', () => {
  for (const [found, kind] of [['detected', 'detected'], ['interpolated', 'filled'], ['back-filled', 'filled'], ['manual', 'manual'], [undefined, 'manual']]) {
    assert.equal(kindOf({ label: 'face', xyxy: [], found }), kind);
  }
});

test('what is left visible is taken out everywhere, and nothing else', () => {
  const before = video([region('face', 1), region('face', 2)], [region('face', 1)]);
  const after = without(before, new Set(['face/1']));
  assert.deepEqual(after.frames.map(({ regions }) => regions.map(({ track }) => track)), [[2], []]);
  assert.equal(before.frames[0].regions.length, 2, 'what was given stays as it was');
  assert.deepEqual({ ...after, frames: [] }, { ...before, frames: [] });
});

test('doubtful moments are ends, filled gaps and low scores, in order and each once', () => {
  const frames = [[region('face', 2, 'detected', 0.3)], [region('face', 1)], [region('face', 1, 'interpolated')], [region('face', 1)], [region('face', 1)]];
  assert.deepEqual(doubtful(tracksOf(video(...frames)), 5), [0, 1, 2]);
  assert.deepEqual(doubtful([], 5), []);
});

test('a long video is read quickly', () => {
  const frames = Array.from({ length: 18_000 }, () => [1, 2, 3, 4, 5].map((track) => region('face', track)));
  const given = video(...frames);
  assert.deepEqual(tracksOf(given).map(({ last }) => last), [17_999, 17_999, 17_999, 17_999, 17_999]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as gallery from '../../src/velum/service/ui/gallery/persons.mjs';
import * as tracks from '../../src/velum/service/ui/video/tracks.mjs';

const region = (track, x) => ({ label: 'face', xyxy: [x, 10, x + 10, 20], score: 0.9, found: 'detected', ...(track ? { track } : {}) });

/** Four frames: tracks 1 and 2, and a face in frame 3 that was not tracked. */
const state = () => tracks.tracksOf({
  format: 'velum-regions/1', width: 100, height: 50,
  frames: [0, 1, 2, 3].map((index) => ({ index, regions: [region(1, index), region(2, 50 + index), ...(index === 3 ? [region(0, 80)] : [])] })),
});
const face = (first_frame, x, more = {}) => ({ first_frame, last_frame: 3, xyxy: [x, 10, x + 10, 20], frames: 4, doubt: null, may_be: null, picture: '', ...more });
const found = () => [{ tracks: [face(0, 0), face(3, 80)] }, { tracks: [face(0, 50, { doubt: 'may be another', may_be: 0 })] }];
const ids = (persons) => persons.map(({ number, faces }) => [number, ...faces.map(({ id }) => id)]);

test('faces are the tracks that have their box, whatever their numbers', () => {
  const persons = gallery.personsOf(found(), state());
  assert.deepEqual(ids(persons), [[1, 1, 3], [2, 2]]);
  assert.equal(persons[1].faces[0].mayBe, 1);
  assert.deepEqual(ids(gallery.personsOf([...found(), { tracks: [face(0, 33)] }], state())), [[1, 1, 3], [2, 2]], 'moved by hand since');
  assert.deepEqual(ids(gallery.personsOf(found(), tracks.removed(state(), 2))), [[1, 1, 3]]);
});

test('a person is visible, hidden or mixed as the tracks are', () => {
  const [person] = gallery.personsOf(found(), state());
  const one = tracks.switched(state(), 1, false), both = tracks.switched(one, 3, false);
  assert.deepEqual([state(), one, both].map((now) => gallery.shownAs(person, now)), ['hidden', 'mixed', 'visible']);
  assert.deepEqual(gallery.tracksOfPerson(person, tracks.removed(state(), 3)).map(({ id }) => id), [1]);
});

test('persons are parted and joined by hand', () => {
  const persons = gallery.personsOf(found(), state());
  const parted = gallery.parted(persons, 1, 3);
  assert.deepEqual(ids(parted), [[1, 1], [3, 3], [2, 2]]);
  assert.deepEqual(ids(gallery.joined(parted, 2, 3)), [[1, 1], [2, 2, 3]]);
  assert.equal(gallery.joined(parted, 2, 9), parted);
  assert.deepEqual(ids(gallery.parted(persons, 2, 2)), ids(persons), 'of one face nothing can be parted');
});

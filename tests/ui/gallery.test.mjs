import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hiddenTracks, keysByPlace, PageRegions, placesOfTracks, TrackRegions } from '../../src/velum/service/ui/gallery/job_regions.mjs';
import * as gallery from '../../src/velum/service/ui/gallery/persons.mjs';
import * as tracks from '../../src/velum/service/ui/video/tracks.mjs';

const region = (track, x) => ({ label: 'face', xyxy: [x, 10, x + 10, 20], score: 0.9, found: 'detected', ...(track ? { track } : {}) });

/** Four frames: tracks 1 and 2, and a face in frame 3 that was not tracked. */
const file = () => ({
  format: 'velum-regions/1', width: 100, height: 50,
  frames: [0, 1, 2, 3].map((index) => ({ index, regions: [region(1, index), region(2, 50 + index), ...(index === 3 ? [region(0, 80)] : [])] })),
});
const state = () => tracks.tracksOf(file());
const face = (first_frame, x, more = {}) => ({ job: 'a', first_frame, last_frame: 3, xyxy: [x, 10, x + 10, 20], frames: 4, doubt: null, may_be: null, picture: '', seconds: null, ...more });
const found = () => [{ tracks: [face(0, 0), face(3, 80)] }, { tracks: [face(0, 50, { doubt: 'may be another', may_be: 0 })] }];
const personsOf = (faces, now) => gallery.personsOf(faces, keysByPlace(placesOfTracks(now)));
const keys = (persons) => persons.map(({ number, faces }) => [number, ...faces.map(({ key }) => key)]);

test('faces are the tracks that have their box, whatever their numbers', () => {
  const persons = personsOf(found(), state());
  assert.deepEqual(keys(persons), [[1, '1', '3'], [2, '2']]);
  assert.equal(persons[1].faces[0].mayBe, 1);
  assert.deepEqual(keys(personsOf([...found(), { tracks: [face(0, 33)] }], state())), [[1, '1', '3'], [2, '2']], 'moved by hand since');
  assert.deepEqual(keys(personsOf(found(), tracks.removed(state(), 2))), [[1, '1', '3']]);
});

test('a person is visible, hidden or mixed as the tracks are', () => {
  const [person] = personsOf(found(), state());
  const one = tracks.switched(state(), 1, false), both = tracks.switched(one, 3, false);
  assert.deepEqual([state(), one, both].map((now) => gallery.shownAs(person, hiddenTracks(now))), ['hidden', 'mixed', 'visible']);
  assert.deepEqual(gallery.keysOf(person, hiddenTracks(tracks.removed(state(), 3))), ['1']);
});

test('persons are parted and joined by hand', () => {
  const persons = personsOf(found(), state());
  const parted = gallery.parted(persons, 1, '3');
  assert.deepEqual(keys(parted), [[1, '1'], [3, '3'], [2, '2']]);
  assert.deepEqual(keys(gallery.joined(parted, 2, 3)), [[1, '1'], [2, '2', '3']]);
  assert.equal(gallery.joined(parted, 2, 9), parted);
  assert.deepEqual(keys(gallery.parted(persons, 2, '2')), keys(persons), 'of one face nothing can be parted');
});

test('what is decided of a video is added to its draft, and is no correction once it is taken back', () => {
  const first = new TrackRegions(file(), null);
  assert.equal(first.changed, false);
  first.decide(['1', '3'], false);
  assert.deepEqual(first.draft, { tracks: [{ id: 1, label: 'face', on: false }, { id: 3, label: 'face', on: false }], removed: [], decided: [1, 3] });
  const again = new TrackRegions(file(), { ...first.draft, audio: 'silence' });
  assert.deepEqual([...again.hidden], [['1', false], ['2', true], ['3', false]]);
  again.decide(['1', '3'], true);
  assert.deepEqual([again.draft.tracks, again.draft.audio, again.changed], [[], 'silence', true], 'the audio is still to be changed');
  assert.deepEqual(again.applied(), { decided: [1, 3] });
  assert.equal(again.changed, false);
});

test('what is decided of a picture is added to its draft by page', () => {
  const pages = () => ({ ...file(), frames: [{ index: 0, regions: [region(0, 0), region(0, 30)] }, { index: 1, regions: [region(0, 5)] }] });
  const first = new PageRegions(pages(), null);
  assert.equal(first.keyOf(face(1, 5)), '1 1');
  assert.equal(first.keyOf(face(0, 5)), undefined);
  first.decide(['0 2', '1 1'], false);
  assert.deepEqual(Object.keys(first.draft.pages), ['0', '1']);
  assert.deepEqual(first.draft.pages[0].map(({ off }) => Boolean(off)), [false, true]);
  const again = new PageRegions(pages(), first.draft);
  assert.deepEqual([...again.hidden], [['0 1', true], ['0 2', false], ['1 1', false]]);
  again.decide(['1 1'], true);
  assert.deepEqual(Object.keys(again.draft.pages), ['0']);
  again.applied();
  assert.equal(again.changed, false);
});

// @ts-check
/** A video's regions as tracks: one for each thing that was followed. Nothing is changed in place. */
import { inside, pointsIn } from '../photo/edits.mjs';

/**
 * @typedef {import('../api.mjs').Region} Region
 * @typedef {import('../api.mjs').Regions} Regions
 * @typedef {{ at: number, region: Region, key?: boolean, nth?: number }} Place where it is in one frame; `key`: set there by hand, `nth`: which of the frame's regions in the file it was
 * @typedef {{ id: number, label: string, on: boolean, places: readonly Place[] }} Track places in order of frames
 * @typedef {readonly Track[]} State
 * @typedef {'detected' | 'filled' | 'manual'} Kind
 * @typedef {{ from: number, to: number, kind: Kind }} Stretch both frames belong to it
 * @typedef {{ at: number, id: number, why: 'low' | 'filled' | 'gap' | 'start' | 'end' }} Doubt
 */

export const LOW_SCORE = 0.5;

/** @param {Region} region @returns {Kind} */
export const kindOf = ({ found = 'manual' }) => (found === 'detected' ? 'detected' : found === 'manual' ? 'manual' : 'filled');

/** @param {Track} track */
export const firstOf = ({ places }) => places[0].at;

/** @param {Track} track */
export const lastOf = ({ places }) => places[places.length - 1].at;

/** The frame that shows best what a track is: where it was surest, of these where it is largest. @param {Track} track */
export function bestOf({ places }) {
  const worth = (/** @type {Place} */ { region: { score = 1, found, xyxy: [x0, y0, x1, y1] } }) => (found === 'detected' ? score : score - 1) + (x1 - x0) * (y1 - y0) * 1e-9;
  return places.reduce((best, one) => (worth(one) > worth(best) ? one : best)).at;
}

/**
 * The number of frames that a file speaks of.
 * @param {Regions} file
 */
export const framesIn = (file) => file.frames.reduce((most, { index }) => Math.max(most, index + 1), 0);

/**
 * The tracks of a file, in the order in which they begin. What was never followed is a track of one frame.
 * @param {Regions} file
 * @returns {State}
 */
export function tracksOf(file) {
  /** @type {Map<string, { id: number, label: string, on: boolean, places: Place[] }>} */
  const found = new Map();
  /** @type {Set<number>} */
  const used = new Set();
  /** @type {Place[]} */
  const loose = [];
  for (const { index: at, regions } of [...file.frames].sort((a, b) => a.index - b.index)) {
    for (const [nth, region] of regions.entries()) {
      const name = `${region.track} ${region.label}`;
      const track = found.get(name);
      const apart = region.track === undefined || region.track === null || (track && track.places[track.places.length - 1].at === at);
      if (apart || (!track && used.has(Number(region.track)))) loose.push({ at, region, nth });
      else if (track) {
        track.places.push({ at, region, nth });
        track.on ||= !region.off;
      }
      else {
        used.add(Number(region.track));
        found.set(name, { id: Number(region.track), label: region.label, on: !region.off, places: [{ at, region, nth }] });
      }
    }
  }
  let next = Math.max(0, ...used);
  const alone = loose.map((place) => ({ id: (next += 1), label: place.region.label, on: !place.region.off, places: [place] }));
  return [...found.values(), ...alone].sort((a, b) => firstOf(a) - firstOf(b) || a.id - b.id);
}

/**
 * The file that hides what is switched on, and keeps what is not, in the place of the one that the tracks came from.
 * What was not changed is as it was there, to the order in each frame: of a video, only what differs is made anew.
 * @param {Regions} file @param {State} state
 * @returns {Regions}
 */
export function fileOf(file, state) {
  /** @type {Map<number, { nth: number, region: Region }[]>} */
  const frames = new Map(file.frames.map(({ index }) => [index, []]));
  for (const { id, label, on, places } of state) {
    for (const { at, region, nth = Infinity } of places) {
      const loose = places.length === 1 && nth < Infinity && (region.track ?? null) === null;
      frames.get(at)?.push({ nth, region: { ...region, label, ...(loose ? {} : { track: id }), ...(on ? {} : { off: true }) } });
    }
  }
  const order = (/** @type {{ nth: number }} */ a, /** @type {{ nth: number }} */ b) => a.nth - b.nth || 0; // those without keep theirs, at the end
  return { ...file, frames: file.frames.map(({ index }) => ({ index, regions: (frames.get(index) ?? []).sort(order).map(({ region }) => region) })) };
}

/**
 * The first place of a track at a frame or after it.
 * @param {readonly Place[]} places @param {number} at
 */
function search(places, at) {
  let low = 0, high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle].at < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Where a track is in a frame.
 * @param {Track} track @param {number} at
 * @returns {Place | undefined}
 */
export function placeAt({ places }, at) {
  const found = places[search(places, at)];
  return found?.at === at ? found : undefined;
}

/** Stretches that were found: nothing of a track is changed in place. @type {WeakMap<Track, Stretch[]>} */
const stretches = new WeakMap();

/**
 * What a track is made of; between two stretches that do not touch, it is not there, or switched off in these frames.
 * @param {Track} track
 * @returns {readonly Stretch[]}
 */
export function stretchesOf(track) {
  const known = stretches.get(track);
  if (known) return known;
  const { on, places } = track;
  /** @type {Stretch[]} */
  const made = [];
  for (const { at, region } of on ? places.filter((place) => !place.region.off) : places) {
    const last = made[made.length - 1], kind = kindOf(region);
    if (last && last.to === at - 1 && last.kind === kind) last.to = at;
    else made.push({ from: at, to: at, kind });
  }
  stretches.set(track, made);
  return made;
}

/**
 * Where to look: where things come and go within the video, what was filled in or missed, and low scores.
 * @param {State} state @param {number} frames in the video
 * @returns {Doubt[]}
 */
export function doubtsOf(state, frames) {
  /** @type {Doubt[]} */
  const made = [];
  for (const track of state) {
    const { id, places } = track;
    if (!track.on) continue;
    if (firstOf(track) > 0) made.push({ at: firstOf(track), id, why: 'start' });
    if (lastOf(track) < frames - 1) made.push({ at: lastOf(track), id, why: 'end' });
    const stretches = stretchesOf(track);
    stretches.forEach(({ from, kind }, i) => {
      const before = stretches[i - 1];
      if (before && before.to < from - 1) made.push({ at: before.to + 1, id, why: 'gap' });
      if (kind === 'filled' && from !== firstOf(track)) made.push({ at: from, id, why: 'filled' });
    });
    let low = false;
    for (const { at, region } of places) {
      const now = kindOf(region) === 'detected' && (region.score ?? 1) < LOW_SCORE;
      if (now && !low) made.push({ at, id, why: 'low' });
      low = now;
    }
  }
  return made.sort((a, b) => a.at - b.at || a.id - b.id);
}

/**
 * @typedef {{ tracks?: { id: number, label: string, on: boolean, places?: readonly Place[] }[], removed?: number[] }} Edits
 */

/**
 * What differs between two states: of tracks whose places stay, only the rest.
 * @param {State} first @param {State} now
 * @returns {Edits}
 */
export function editsOf(first, now) {
  const before = new Map(first.map((track) => [track.id, track])), ids = new Set(now.map(({ id }) => id));
  const tracks = now.filter((track) => before.get(track.id) !== track).map(({ id, label, on, places }) => {
    const was = before.get(id)?.places;
    const same = was && (was === places || (was.length === places.length && was.every((place, i) => JSON.stringify(place) === JSON.stringify(places[i]))));
    return { id, label, on, ...(same ? {} : { places }) };
  });
  return { tracks, removed: first.filter(({ id }) => !ids.has(id)).map(({ id }) => id) };
}

/**
 * The state that edits make of another one. Those of tracks that are gone are left out.
 * @param {State} first @param {Edits} edits
 * @returns {State}
 */
export function withEdits(first, { tracks = [], removed = [] }) {
  const gone = new Set(removed), edits = new Map(tracks.map((track) => [track.id, track]));
  const present = first.filter(({ id }) => !gone.has(id)).map((track) => ({ ...track, ...edits.get(track.id) }));
  const known = new Set(first.map(({ id }) => id));
  const made = tracks.flatMap(({ id, label, on, places }) => (known.has(id) || !places ? [] : [{ id, label, on, places }]));
  return [...present, ...made];
}

/**
 * How much a track is to be doubted, from 0 to 1: nobody drew it, it was never found surely, is mostly filled in, or short.
 * @param {Track} track
 */
export function doubtOf({ places }) {
  if (places.some(({ region }) => kindOf(region) === 'manual')) return 0;
  const found = places.filter(({ region }) => kindOf(region) === 'detected');
  const best = Math.max(0, ...found.map(({ region }) => region.score ?? 1));
  return Math.min(1, 0.6 * (1 - best) + 0.25 * (1 - found.length / places.length) + (places.length < 5 ? 0.25 : 0));
}

/** From here on a track counts as doubtful. */
export const DOUBTFUL = 0.4;

/**
 * Doubtful moments, one stop for those that lie close together.
 * @param {readonly Doubt[]} doubts in order of frames @param {number} near frames within which they are one
 * @returns {Doubt[][]}
 */
export function stopsOf(doubts, near) {
  /** @type {Doubt[][]} */
  const stops = [];
  for (const doubt of doubts) {
    const last = stops[stops.length - 1];
    if (last && doubt.at - last[0].at <= near) last.push(doubt);
    else stops.push([doubt]);
  }
  return stops;
}

/** @param {State} state @param {number} id @param {(track: Track) => Track} change @returns {State} */
const changed = (state, id, change) => state.map((track) => (track.id === id ? change(track) : track));

/**
 * Switch a track off, or on wherever it is.
 * @param {State} state @param {number} id @param {boolean} on
 * @returns {State}
 */
export const switched = (state, id, on) => changed(state, id, (track) => ({
  ...track, on, places: on ? track.places.map(({ region: { off: _, ...region }, ...place }) => ({ ...place, region })) : track.places,
}));

/**
 * Have a track hidden in a way of its own; undefined: as the plan says.
 * @param {State} state @param {number} id @param {string | undefined} technique
 * @returns {State}
 */
export const hiddenBy = (state, id, technique) => changed(state, id, (track) => ({
  ...track, places: track.places.map(({ region: { technique: _, ...region }, ...place }) => ({ ...place, region: technique ? { ...region, technique } : region })),
}));

/** @param {State} state @param {number} id @returns {State} */
export const removed = (state, id) => state.filter((track) => track.id !== id);

/** @param {State} state */
const nextId = (state) => 1 + Math.max(0, ...state.map(({ id }) => id));

/**
 * Make two of a track: one before a frame, one from it on. As it was where one of them would be empty.
 * @param {State} state @param {number} id @param {number} at
 * @returns {State}
 */
export function split(state, id, at) {
  return state.flatMap((track) => {
    const cut = search(track.places, at);
    if (track.id !== id || cut === 0 || cut === track.places.length) return [track];
    const half = (/** @type {readonly Place[]} */ places) => ({ ...track, on: track.on && places.some(({ region }) => !region.off), places });
    return [half(track.places.slice(0, cut)), { ...half(track.places.slice(cut)), id: nextId(state) }];
  });
}

/**
 * Make one of two tracks. As it was where they are in the same frame: two places cannot be one thing.
 * @param {State} state @param {number} id whose number and label it gets @param {number} other
 * @returns {State}
 */
export function merged(state, id, other) {
  const one = state.find((track) => track.id === id), more = state.find((track) => track.id === other);
  if (!one || !more || one === more || one.places.some(({ at }) => placeAt(more, at))) return state;
  const places = [...one.places, ...more.places].sort((a, b) => a.at - b.at);
  return removed(changed(state, id, (track) => ({ ...track, places })), other);
}

/** @param {Region} region @param {number[]} xyxy @returns {Region} */
const byHand = ({ label, technique }, xyxy) => ({ label, xyxy, score: 1, found: 'manual', ...(technique ? { technique } : {}) });

/** @param {Place} a @param {Place} b @param {number} at */
function between(a, b, at) {
  const share = (at - a.at) / (b.at - a.at);
  // Rounded outwards: what is hidden is never less than what lies between.
  return a.region.xyxy.map((edge, i) => {
    const value = edge + (b.region.xyxy[i] - edge) * share;
    return i < 2 ? Math.floor(value) : Math.ceil(value);
  });
}

/**
 * Fill frames with boxes by hand, which stay where they are or move straight from one to the next.
 * @param {Place} a @param {Place | undefined} b @param {number} from @param {number} to both frames are filled
 * @returns {Place[]}
 */
function filled(a, b, from, to) {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => {
    const at = from + i;
    return { at, region: byHand(a.region, b ? between(a, b, at) : [...a.region.xyxy]) };
  });
}

/**
 * Have a track reach a frame, and close its holes on the way: it stays where it was last seen. As it was where it
 * does already.
 * @param {State} state @param {number} id @param {number} at
 * @returns {State}
 */
export function extended(state, id, at) {
  return changed(state, id, (track) => {
    const { places } = track;
    if (at > lastOf(track)) return { ...track, places: [...places, ...filled(places[places.length - 1], undefined, lastOf(track) + 1, at)] };
    if (at < firstOf(track)) return { ...track, places: [...filled(places[0], undefined, at, firstOf(track) - 1), ...places] };
    const next = search(places, at);
    if (places[next].at === at) return track;
    const [a, b] = [places[next - 1], places[next]];
    return { ...track, places: [...places.slice(0, next), ...filled(a, b, a.at + 1, b.at - 1), ...places.slice(next)] };
  });
}

/**
 * Put a track somewhere in a frame. Between places put by hand, what is not found is moved straight from one to the
 * next; beyond the first and the last of them, it goes with it.
 * @param {State} state @param {number} id @param {number} at @param {number[]} xyxy
 * @param {number} width of the picture @param {number} height
 * @returns {State}
 */
export function put(state, id, at, xyxy, width, height) {
  return changed(extended(state, id, at), id, (track) => {
    const now = /** @type {Place} */ (placeAt(track, at));
    const box = inside(xyxy, width, height), points = pointsIn(now.region, box);
    const key = { at, key: true, region: { ...byHand(now.region, box), ...(points ? { points } : {}) } };
    const keys = track.places.filter((place) => place.key && place.at !== at);
    const [before, after] = [keys.filter((key) => key.at < at).pop(), keys.find((key) => key.at > at)];
    const places = track.places.map((one) => {
      if (one.at === at) return key;
      if (one.key || kindOf(one.region) !== 'manual') return one;
      if (one.at < at) {
        if (before && one.at < before.at) return one;
        return before ? filled(before, key, one.at, one.at)[0] : filled(key, undefined, one.at, one.at)[0];
      }
      if (after && one.at > after.at) return one;
      return after ? filled(key, after, one.at, one.at)[0] : filled(key, undefined, one.at, one.at)[0];
    });
    return { ...track, places };
  });
}

/**
 * Add a track that was followed from a box drawn in a frame.
 * @param {State} state @param {string} label @param {number} at the frame in which it was drawn
 * @param {Regions['frames']} frames
 * @returns {{ state: State, id: number }}
 */
export function followed(state, label, at, frames) {
  const id = nextId(state);
  const places = frames.flatMap(({ index, regions }) => regions.map((region) => ({ at: index, region, key: index === at })));
  return { state: [...state, { id, label, on: true, places }], id };
}

/**
 * Add a track by hand: in one frame, and as many before and after it as are asked for.
 * @param {State} state
 * @param {{ label: string, at: number, xyxy: number[], from: number, to: number, width: number, height: number }} what
 * @returns {{ state: State, id: number }}
 */
export function drawn(state, { label, at, xyxy, from, to, width, height }) {
  const id = nextId(state);
  /** @type {Place} */
  const key = { at, key: true, region: { label, xyxy: inside(xyxy, width, height), score: 1, found: 'manual' } };
  const places = [...filled(key, undefined, from, at - 1), key, ...filled(key, undefined, at + 1, to)];
  return { state: [...state, { id, label, on: true, places }], id };
}

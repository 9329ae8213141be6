// @ts-check
/** What is kept and hidden in a job, by keys: the same for the regions of pictures and the tracks of videos. */
import { change, regionsOf, stateOf } from '../photo/edits.mjs';
import * as tracks from '../video/tracks.mjs';

/** @typedef {import('../api.mjs').Regions} Regions */
/** @typedef {import('../parts/drafts.mjs').Body} Body */
/** @typedef {import('./persons.mjs').FaceTrack} FaceTrack */
/** @typedef {import('./persons.mjs').Hidden} Hidden */
/** @typedef {{ at: number, xyxy: number[], key: string }} Place */

/** @param {number} at @param {number[]} xyxy */
const placeName = (at, xyxy) => `${at} ${xyxy}`;

/** What gives the key of a face by its first place. @param {Iterable<Place>} places @returns {(track: FaceTrack) => string | undefined} */
export function keysByPlace(places) {
  const keys = new Map([...places].map(({ at, xyxy, key }) => [placeName(at, xyxy), key]));
  return (track) => keys.get(placeName(track.first_frame, track.xyxy));
}

/** The places of tracks; keys are their ids. @param {tracks.State} state @returns {Place[]} */
export const placesOfTracks = (state) => state.flatMap(({ id, places }) => places.map(({ at, region }) => ({ at, xyxy: region.xyxy, key: String(id) })));

/** @param {tracks.State} state @returns {Hidden} */
export const hiddenTracks = (state) => new Map(state.map(({ id, on }) => [String(id), on]));

/** The places of the regions of pages; keys are page and id. @param {readonly import('../photo/edits.mjs').State[]} pages @param {Regions['frames']} frames @returns {Place[]} */
export const placesOfPages = (pages, frames) => pages.flatMap((state, i) => state.map(({ id, xyxy }) => ({ at: frames[i].index, xyxy, key: `${i} ${id}` })));

/** @param {readonly import('../photo/edits.mjs').State[]} pages @returns {Hidden} */
export const hiddenOnPages = (pages) => new Map(pages.flatMap((state, i) => state.map(({ id, on }) => /** @type {[string, boolean]} */ ([`${i} ${id}`, on]))));

/** The ids of keys of regions, by page. @param {readonly string[]} keys @returns {Map<number, number[]>} */
export function idsByPage(keys) {
  /** @type {Map<number, number[]>} */
  const ids = new Map();
  for (const [page, id] of keys.map((key) => key.split(' ').map(Number))) ids.set(page, [...ids.get(page) ?? [], id]);
  return ids;
}

/** The regions of a picture's pages, with what a draft says of them. */
export class PageRegions {
  #frames;
  #saved;
  #now;

  /** @param {Regions} file @param {Body | null} draft */
  constructor({ frames }, draft) {
    this.#frames = frames;
    this.#saved = frames.map(({ regions }) => stateOf(regions));
    this.#now = this.#saved.map((state, i) => (draft?.pages?.[i] ? stateOf(draft.pages[i]) : state));
    this.keyOf = keysByPlace(placesOfPages(this.#now, frames));
  }

  get hidden() {
    return hiddenOnPages(this.#now);
  }

  /** @param {readonly string[]} keys @param {boolean} on */
  decide(keys, on) {
    for (const [page, ids] of idsByPage(keys)) this.#now[page] = ids.reduce((state, id) => change(state, id, { on }), this.#now[page]);
  }

  /** What its draft is to have. @returns {Body} */
  get draft() {
    const same = (/** @type {number} */ i) => JSON.stringify(regionsOf(this.#now[i])) === JSON.stringify(regionsOf(this.#saved[i]));
    return { pages: Object.fromEntries(this.#frames.flatMap((_, i) => (same(i) ? [] : [[i, regionsOf(this.#now[i])]]))) };
  }

  get changed() {
    return Object.keys(this.draft.pages).length > 0;
  }

  /** All was applied: tell what the draft still has. @returns {Body} */
  applied() {
    this.#saved = [...this.#now];
    return { pages: {} };
  }
}

/** @param {tracks.Track} track @param {tracks.Track} other */
const isSame = (track, other) => track.on === other.on && track.label === other.label && track.places.length === other.places.length
  && track.places.every(({ at, region }, i) => at === other.places[i].at && JSON.stringify(region) === JSON.stringify(other.places[i].region));

/** The tracks of a video, with what a draft says of them. */
export class TrackRegions {
  #saved;
  #now;
  /** What the draft has besides. @type {Body} */
  #more;
  #decided;

  /** @param {Regions} file @param {Body | null} draft */
  constructor(file, draft) {
    this.#saved = tracks.tracksOf(file);
    this.#now = draft ? tracks.withEdits(this.#saved, draft) : this.#saved;
    this.#more = draft?.audio ? { audio: draft.audio } : {};
    this.#decided = new Set(/** @type {number[]} */ (draft?.decided ?? []));
    this.keyOf = keysByPlace(placesOfTracks(this.#now));
  }

  get hidden() {
    return hiddenTracks(this.#now);
  }

  /** @param {readonly string[]} keys @param {boolean} on */
  decide(keys, on) {
    for (const id of keys.map(Number)) {
      this.#now = tracks.switched(this.#now, id, on);
      this.#decided.add(id);
    }
    // What is again as it was is no correction.
    const before = new Map(this.#saved.map((track) => [track.id, track]));
    this.#now = this.#now.map((track) => {
      const was = before.get(track.id);
      return was && isSame(track, was) ? was : track;
    });
  }

  /** @returns {Body} */
  get draft() {
    return { ...tracks.editsOf(this.#saved, this.#now), ...this.#more, decided: [...this.#decided] };
  }

  get changed() {
    const { tracks: edited = [], removed = [] } = tracks.editsOf(this.#saved, this.#now);
    return edited.length + removed.length + Object.keys(this.#more).length > 0;
  }

  /** All was applied: tell what the draft still has. @returns {Body} */
  applied() {
    [this.#saved, this.#more] = [this.#now, {}];
    return { decided: [...this.#decided] };
  }
}

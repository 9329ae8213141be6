// @ts-check
/** The regions of a video as the things that are followed through it. */

/** @typedef {import('../api.mjs').Regions} Regions */
/** @typedef {import('../api.mjs').Region} Region */
/** @typedef {'detected' | 'filled' | 'manual'} Kind */
/**
 * @typedef {object} Track
 * @property {string} key the same for all regions of a thing; regions without a number are one thing for each label
 * @property {string} label
 * @property {number} first frame
 * @property {number} last frame
 * @property {number} best score
 * @property {Map<number, Region>} at by frame
 * @property {{ from: number, to: number, kind: Kind }[]} stretches
 */

const DOUBTFUL_SCORE = 0.5;

/** @param {Region} region */
export const keyOf = (region) => `${region.label}/${region.track ?? ''}`;

/** @param {Region} region @returns {Kind} */
export function kindOf(region) {
  const found = region.found ?? 'manual';
  return found === 'manual' || found === 'detected' ? found : 'filled';
}

/**
 * The things of a video, in the order in which they appear.
 * @param {Regions} regions
 * @returns {Track[]}
 */
export function tracksOf(regions) {
  /** @type {Map<string, Track>} */
  const tracks = new Map();
  for (const { index, regions: there } of [...regions.frames].sort((a, b) => a.index - b.index)) {
    for (const region of there) {
      const key = keyOf(region), kind = kindOf(region);
      let track = tracks.get(key);
      if (!track) {
        track = { key, label: region.label, first: index, last: index, best: 0, at: new Map(), stretches: [] };
        tracks.set(key, track);
      }
      const stretch = track.stretches.at(-1);
      if (stretch && stretch.kind === kind && index <= stretch.to + 1) stretch.to = index;
      else track.stretches.push({ from: index, to: index, kind });
      track.last = index;
      track.best = Math.max(track.best, region.score ?? 1);
      track.at.set(index, region);
    }
  }
  return [...tracks.values()];
}

/**
 * The regions without the things that are to stay visible.
 * @param {Regions} regions
 * @param {Set<string>} off keys
 * @returns {Regions}
 */
export function without(regions, off) {
  const frames = regions.frames.map(({ index, regions: there }) => ({ index, regions: there.filter((one) => !off.has(keyOf(one))) }));
  return { ...regions, frames };
}

/**
 * The frames at which it is worth to look: where a thing appears or leaves within the video, where it was filled in,
 * and where whoever found it was in doubt.
 * @param {Track[]} tracks
 * @param {number} frames of the whole video
 * @returns {number[]} in order, each once
 */
export function doubtful(tracks, frames) {
  const found = new Set();
  for (const track of tracks) {
    if (track.first > 0) found.add(track.first);
    if (track.last < frames - 1) found.add(track.last);
    for (const { from, kind } of track.stretches) if (kind === 'filled') found.add(from);
    if (track.best < DOUBTFUL_SCORE) found.add(track.first);
  }
  return [...found].sort((a, b) => a - b);
}

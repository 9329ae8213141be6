// @ts-check
/** Where tracks lie on the timeline, and which part of it is in view. */
import { firstOf, lastOf } from './tracks.mjs';

/** @typedef {import('./tracks.mjs').State} State */

/** A frame is drawn this wide at most. */
const WIDEST_FRAME = 24;

/**
 * Rows, those of a label next to each other, as few as there can be: tracks that are not at the same time share one.
 * @param {State} state
 * @returns {{ rows: Map<number, number>, labels: string[] }} the row of each track, and the label of each row
 */
export function rowsOf(state) {
  /** @type {Map<string, number[][]>} the tracks of each row, by label */
  const byLabel = new Map();
  /** @type {Map<number[], number>} */
  const ends = new Map();
  for (const track of [...state].sort((a, b) => firstOf(a) - firstOf(b))) {
    const rows = byLabel.get(track.label) ?? [];
    byLabel.set(track.label, rows);
    let row = rows.find((ids) => (ends.get(ids) ?? 0) < firstOf(track) - 1);
    if (!row) rows.push(row = []);
    row.push(track.id);
    ends.set(row, lastOf(track));
  }
  const all = [...byLabel].flatMap(([label, rows]) => rows.map((ids) => ({ label, ids })));
  return { rows: new Map(all.flatMap(({ ids }, row) => ids.map((id) => [id, row]))), labels: all.map(({ label }) => label) };
}

/**
 * Zoom the timeline so that what is at a place stays there.
 * @param {{ zoom: number, left: number }} view how often the timeline is as wide as its view, and pixels left of that
 * @param {number} factor @param {number} at pixels from the left edge of the view @param {number} width of the view in pixels
 * @param {number} frames
 * @returns {{ zoom: number, left: number }}
 */
export function zoomed({ zoom, left }, factor, at, width, frames) {
  const most = Math.max(1, (WIDEST_FRAME * frames) / width), next = Math.min(most, Math.max(1, zoom * factor));
  return { zoom: next, left: Math.min(width * (next - 1), Math.max(0, ((left + at) * next) / zoom - at)) };
}

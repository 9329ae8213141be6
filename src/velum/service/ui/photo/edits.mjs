// @ts-check
/** Corrections of a picture's regions, each of which can be undone. */
import { resized } from './masks.mjs';

/**
 * @typedef {import('../api.mjs').Region & { id: number, on: boolean }} Edited
 * @typedef {readonly Edited[]} State
 */

/**
 * All states there were: nothing is changed in place, so going back is going to another one.
 * @template [T=State]
 */
export class History {
  /** @param {T} first */
  constructor(first) {
    /** @type {T[]} */
    this.states = [first];
    this.at = 0;
    /** @type {T} */
    this.saved = first;
  }

  get now() {
    return this.states[this.at];
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.states.length - 1;
  }

  /** Whether what is seen is not what was rendered last. */
  get changed() {
    return this.now !== this.saved;
  }

  /** @param {T} next */
  push(next) {
    if (next === this.now) return;
    this.states.length = this.at + 1;
    this.states.push(next);
    this.at += 1;
  }

  undo() {
    if (this.canUndo) this.at -= 1;
  }

  redo() {
    if (this.canRedo) this.at += 1;
  }
}

/** @param {import('../api.mjs').Region[]} regions @returns {State} */
export const stateOf = (regions) => regions.map(({ off, ...one }, i) => ({ ...one, id: i + 1, on: !off }));

/**
 * What is to be hidden and what is left visible, as the regions file has it.
 * @param {State} state
 * @returns {import('../api.mjs').Region[]}
 */
export const regionsOf = (state) => state.map(({ id: _, on, technique, ...region }) => ({ ...region, ...(technique ? { technique } : {}), ...(on ? {} : { off: true }) }));

/**
 * @param {State} state @param {number} id @param {Partial<Edited>} change
 * @returns {State}
 */
export const change = (state, id, change) => state.map((region) => (region.id === id ? { ...region, ...change } : region));

/** @param {State} state @param {number} id @returns {State} */
export const remove = (state, id) => state.filter((region) => region.id !== id);

/**
 * @param {State} state @param {Omit<Edited, 'id' | 'on' | 'score' | 'found'>} region
 * @returns {{ state: State, id: number }}
 */
export function add(state, region) {
  const id = 1 + Math.max(0, ...state.map((region) => region.id));
  return { state: [...state, { ...region, id, on: true, score: 1, found: 'manual' }], id };
}

/**
 * Give a region another box inside the picture; a mask goes with it. It was then placed by hand.
 * @param {State} state @param {number} id @param {number[]} xyxy @param {number} width of the picture @param {number} height
 * @returns {State}
 */
export function place(state, id, xyxy, width, height) {
  const was = state.find((region) => region.id === id);
  const box = inside(xyxy, width, height);
  if (!was || `${box}` === `${was.xyxy}`) return state;
  const [w, h] = [was.xyxy[2] - was.xyxy[0], was.xyxy[3] - was.xyxy[1]];
  const [newW, newH] = [box[2] - box[0], box[3] - box[1]];
  const same = !was.mask_runs || (w === newW && h === newH);
  const mask = same ? {} : { mask_runs: resized(/** @type {number[]} */ (was.mask_runs), w, h, newW, newH) };
  return change(state, id, { xyxy: box, found: 'manual', points: pointsIn(was, box), ...mask });
}

/**
 * Where the landmarks of a region are once its box was moved. None where its size changed: they belong to the network's own box.
 * @param {import('../api.mjs').Region} region @param {number[]} box
 * @returns {number[][] | undefined}
 */
export function pointsIn({ xyxy: [x0, y0, x1, y1], points }, box) {
  const [dx, dy] = [box[0] - x0, box[1] - y0];
  return box[2] - x1 === dx && box[3] - y1 === dy ? points?.map(([x, y]) => [x + dx, y + dy]) : undefined;
}

/**
 * A box in whole pixels with its edges in order and within the picture, at least a pixel wide and high.
 * @param {number[]} xyxy @param {number} width @param {number} height
 */
export function inside([a, b, c, d], width, height) {
  const x0 = Math.max(0, Math.min(width - 1, Math.floor(Math.min(a, c)))), y0 = Math.max(0, Math.min(height - 1, Math.floor(Math.min(b, d))));
  return [x0, y0, Math.max(x0 + 1, Math.min(width, Math.ceil(Math.max(a, c)))), Math.max(y0 + 1, Math.min(height, Math.ceil(Math.max(b, d))))];
}

/**
 * A box moved, stopped by the edges of the picture rather than made smaller.
 * @param {number[]} xyxy @param {number} dx @param {number} dy @param {number} width @param {number} height
 */
export function moved([x0, y0, x1, y1], dx, dy, width, height) {
  const x = Math.max(-x0, Math.min(width - x1, Math.round(dx))), y = Math.max(-y0, Math.min(height - y1, Math.round(dy)));
  return [x0 + x, y0 + y, x1 + x, y1 + y];
}

/**
 * The regions like one: with its label, and a size at most half or twice as large.
 * @param {State} state @param {number} id
 */
export function similar(state, id) {
  const one = state.find((other) => other.id === id);
  if (!one) return [];
  const side = (/** @type {Edited} */ { xyxy: [x0, y0, x1, y1] }) => Math.sqrt((x1 - x0) * (y1 - y0));
  return state.filter((other) => other.label === one.label && side(other) <= 2 * side(one) && side(other) >= side(one) / 2);
}

/**
 * Switch regions, and give them a label and a technique, as one is.
 * @param {State} state @param {number} id @param {readonly Edited[]} others
 * @returns {State}
 */
export function likewise(state, id, others) {
  const one = state.find((other) => other.id === id), ids = new Set(others.map((other) => other.id));
  return one ? state.map((other) => (ids.has(other.id) ? { ...other, on: one.on, label: one.label, technique: one.technique } : other)) : state;
}

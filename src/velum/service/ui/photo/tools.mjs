// @ts-check
/** What the pointer does to regions. */
import { add, inside, moved, place } from './edits.mjs';
import { polygon, stroke } from './masks.mjs';
import { HANDLES } from './overlay.mjs';

/** @typedef {import('../parts/viewer.mjs').Point} Point */
/** @typedef {import('../parts/viewer.mjs').Tool} Tool */
/** @typedef {'select' | 'box' | 'polygon' | 'brush'} ToolName */
/**
 * What tools work on.
 * @typedef {object} Board
 * @property {import('./edits.mjs').History} history
 * @property {import('../parts/viewer.mjs').VelumViewer} viewer
 * @property {number} selected
 * @property {string} label of new regions
 * @property {number} brush radius in pixels of the screen
 * @property {{ id: number, xyxy: number[] } | null} moving a region while it is dragged
 * @property {number[] | null} drawing a new box while it is dragged
 * @property {Point[]} way of the polygon or the brush
 * @property {(next: import('./edits.mjs').State, selected?: number) => void} commit
 * @property {(id: number) => void} select
 */

const REACH = 14;
const CURSORS = ['nwse-resize', 'ns-resize', 'nesw-resize', 'ew-resize', 'nwse-resize', 'ns-resize', 'nesw-resize', 'ew-resize'];

/** @param {Board} board @param {Point} at @returns {number} of the handle under it, -1 for none */
function handleAt(board, at) {
  const region = board.history.now.find(({ id }) => id === board.selected);
  if (!region) return -1;
  const [x0, y0, x1, y1] = region.xyxy, near = REACH / board.viewer.view.scale;
  return HANDLES.findIndex(([across, down]) => Math.hypot(x0 + (x1 - x0) * across - at.x, y0 + (y1 - y0) * down - at.y) < near);
}

/** @param {Board} board @param {Point} at the smallest region there is what is meant */
export function regionAt(board, at) {
  const under = board.history.now.filter(({ xyxy: [x0, y0, x1, y1] }) => at.x >= x0 && at.x < x1 && at.y >= y0 && at.y < y1);
  const area = (/** @type {import('./edits.mjs').Edited} */ { xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
  return under.sort((a, b) => area(a) - area(b))[0] ?? null;
}

/** @param {Board} board @returns {Tool} */
export function selecting(board) {
  /** @type {Point} */
  let from = { x: 0, y: 0 };
  let handle = -1;
  /** @type {number[]} */
  let was = [];
  return {
    down(at) {
      handle = handleAt(board, at);
      const region = handle >= 0 ? board.history.now.find(({ id }) => id === board.selected) : regionAt(board, at);
      board.select(region?.id ?? 0);
      if (!region) return false;
      from = at;
      was = region.xyxy;
      board.moving = { id: region.id, xyxy: was };
      return true;
    },
    move(at) {
      if (!board.moving) return;
      const { width, height } = board.viewer;
      const dx = at.x - from.x, dy = at.y - from.y;
      if (handle < 0) board.moving.xyxy = moved(was, dx, dy, width, height);
      else {
        const [across, down] = HANDLES[handle];
        const box = [...was];
        if (across !== 0.5) box[across * 2] += Math.round(dx);
        if (down !== 0.5) box[down * 2 + 1] += Math.round(dy);
        board.moving.xyxy = inside(box, width, height);
      }
      board.viewer.redraw();
    },
    up() {
      const done = board.moving;
      board.moving = null;
      if (done) board.commit(place(board.history.now, done.id, done.xyxy, board.viewer.width, board.viewer.height));
    },
    cancel() {
      board.moving = null;
      board.viewer.redraw();
    },
    over(at) {
      const on = handleAt(board, at);
      return on >= 0 ? CURSORS[on] : regionAt(board, at) ? 'move' : 'grab';
    },
  };
}

/** @param {Board} board @returns {Tool} */
export function boxing(board) {
  /** @type {Point} */
  let from = { x: 0, y: 0 };
  return {
    down(at) {
      from = at;
      board.drawing = [at.x, at.y, at.x, at.y];
      return true;
    },
    move(at) {
      board.drawing = [from.x, from.y, at.x, at.y];
      board.viewer.redraw();
    },
    up() {
      const box = board.drawing, { width, height, view } = board.viewer;
      board.drawing = null;
      // A click is no box.
      if (box && Math.max(Math.abs(box[2] - box[0]), Math.abs(box[3] - box[1])) * view.scale >= 4) {
        const { state, id } = add(board.history.now, { label: board.label, xyxy: inside(box, width, height) });
        board.commit(state, id);
      } else board.viewer.redraw();
    },
    cancel() {
      board.drawing = null;
      board.viewer.redraw();
    },
    over: () => 'crosshair',
  };
}

/** @param {Board} board @returns {Tool} */
export function brushing(board) {
  return {
    down(at) {
      board.way = [at];
      board.viewer.redraw();
      return true;
    },
    move(at) {
      const last = board.way[board.way.length - 1];
      // Points nearer than a quarter of the brush change nothing but the time it takes.
      if (last && Math.hypot(at.x - last.x, at.y - last.y) > board.brush / board.viewer.view.scale / 4) board.way.push(at);
      board.viewer.redraw();
    },
    up() {
      const made = stroke(board.way, board.brush / board.viewer.view.scale, board.viewer.width, board.viewer.height);
      board.way = [];
      finish(board, made);
    },
    cancel() {
      board.way = [];
      board.viewer.redraw();
    },
    over: () => 'crosshair',
  };
}

/** @param {Board} board @returns {Tool & { close: () => void }} */
export function outlining(board) {
  const close = () => {
    const made = polygon(board.way, board.viewer.width, board.viewer.height);
    board.way = [];
    finish(board, made);
  };
  return {
    close,
    down(at, event) {
      const [first] = board.way;
      const back = first && board.way.length > 2 && Math.hypot(at.x - first.x, at.y - first.y) * board.viewer.view.scale < REACH;
      if (back || event.detail > 1) close();
      else board.way.push(at);
      board.viewer.redraw();
      return true;
    },
    move() {},
    up() {},
    cancel() {
      board.way.pop();
      board.viewer.redraw();
    },
    over: () => 'crosshair',
  };
}

/** @param {Board} board @param {import('./masks.mjs').Shape | null} shape */
function finish(board, shape) {
  if (shape) {
    const { state, id } = add(board.history.now, { label: board.label, ...shape });
    board.commit(state, id);
  } else board.viewer.redraw();
}

// @ts-check
/** The tracks of a video, those to doubt first; those of a single frame are a group of their own. */
import { Crops, cutOut } from '../parts/crop.mjs';
import { h } from '../parts/dom.mjs';
import { oneText } from '../photo/labels.mjs';
import { t } from '../i18n.mjs';
import { bestOf, DOUBTFUL, doubtOf, firstOf, lastOf, placeAt } from './tracks.mjs';

/** @typedef {import('./tracks.mjs').Track} Track */
/** @typedef {import('./tracks.mjs').State} State */

const FILTERS = /** @type {const} */ (['all', 'open', 'doubtful', 'long', 'single']);

/** Events: `choose`, `flip` with an id; `right` with ids that are right. */
export class VelumTracks extends HTMLElement {
  #filter = h('select', { 'aria-label': t('tracks.filter'), onchange: () => this.#list() }, ...FILTERS.map((name) => h('option', { value: name }, t(`tracks.${name}`))));
  #rows = h('ul', { class: 'regions' });
  #singles = h('ul', { class: 'regions' });
  #group = h('details', {}, h('summary'), h('button', { type: 'button', 'data-key': 'rest', title: t('tracks.rest.how'), onclick: () => this.#confirm() }, t('tracks.rest')), this.#singles);
  /** @type {State} */
  #state = [];
  /** @type {Track[]} */
  #alone = [];
  #chosen = 0;
  /** Takes pictures of frames, where there is an original. @type {import('./frame_shots.mjs').FrameShots | null} */
  shots = null;
  #crops = new Crops();
  /** Of the video, in the pixels that boxes count in. */
  width = 1;
  /** @type {ReadonlySet<number>} */
  #decided = new Set();
  /** The order stays while tracks are decided: what moves away under the pointer cannot be hit. @type {Map<number, number>} */
  #order = new Map();
  /** Rows that were made: among hundreds of tracks, a key changes two of them. @type {Map<number, { row: HTMLElement, track: Track, look: string }>} */
  #made = new Map();
  /** The frame in the picture. */
  #frame = 0;

  connectedCallback() {
    if (!this.firstChild) this.append(this.#filter, this.#rows, this.#group);
  }

  /** @param {State} state @param {number} chosen @param {ReadonlySet<number>} decided */
  show(state, chosen, decided) {
    const moved = chosen !== this.#chosen;
    [this.#state, this.#chosen, this.#decided] = [state, chosen, decided];
    const labels = [...new Set(state.map(({ label }) => label))], known = [...this.#filter.options].slice(FILTERS.length).map(({ value }) => value.slice(6));
    if (labels.join() !== known.join()) {
      while (this.#filter.options.length > FILTERS.length) this.#filter.remove(FILTERS.length);
      if (labels.length > 1) this.#filter.append(...labels.map((label) => h('option', { value: `label ${label}` }, oneText(label))));
    }
    for (const track of state) if (!this.#order.has(track.id)) this.#order.set(track.id, doubtOf(track));
    this.#list();
    if (moved) this.#made.get(chosen)?.row.scrollIntoView({ block: 'nearest' });
  }

  /** All tracks of a single frame that nobody has decided are right. They are shown first, if they are not in sight yet. */
  rest() {
    if (this.#group.hidden || this.#group.open) return this.#confirm();
    this.#group.open = true;
    this.#group.scrollIntoView({ block: 'start' });
  }

  #confirm() {
    if (this.#alone.length) this.#tell('right', this.#alone.map(({ id }) => id));
  }

  /** In which order tracks are decided. @returns {Track[]} */
  get inOrder() {
    const doubt = (/** @type {Track} */ { id }) => this.#order.get(id) ?? 0;
    const sorted = [...this.#state].sort((a, b) => doubt(b) - doubt(a) || firstOf(a) - firstOf(b) || a.id - b.id);
    return [...sorted.filter(({ places }) => places.length > 1), ...sorted.filter(({ places }) => places.length === 1)];
  }

  /** Mark what is in the picture. @param {number} frame */
  follow(frame) {
    this.#frame = frame;
    for (const track of this.#state) this.#made.get(track.id)?.row.classList.toggle('here', placeAt(track, frame) !== undefined);
  }

  #list() {
    const filter = this.#filter.value, open = (/** @type {Track} */ { id }) => !this.#decided.has(id);
    const fits = (/** @type {Track} */ track) => ({
      all: true, open: open(track), doubtful: (this.#order.get(track.id) ?? 0) >= DOUBTFUL, long: track.places.length >= 50, single: track.places.length === 1,
    }[filter] ?? track.label === filter.slice(6));
    const shown = this.inOrder.filter(fits), alone = shown.filter(({ places }) => places.length === 1);
    const focused = this.contains(document.activeElement) ? document.activeElement?.getAttribute('data-key') : null;
    // A few need no group.
    const grouped = alone.length > 3 && filter !== 'single';
    this.#alone = alone.filter(open);
    this.#fill(this.#rows, grouped ? shown.filter(({ places }) => places.length > 1) : shown);
    this.#group.hidden = !grouped;
    if (grouped && alone.some(({ id }) => id === this.#chosen)) this.#group.open = true;
    /** @type {HTMLElement} */ (this.#group.firstElementChild).textContent = t('tracks.singles', { n: alone.length });
    /** @type {HTMLButtonElement} */ (this.#group.children[1]).disabled = !this.#alone.length;
    this.#fill(this.#singles, grouped ? alone : []);
    if (focused) /** @type {HTMLElement | null} */ (this.querySelector(`[data-key="${focused}"]`))?.focus();
  }

  /** Show these tracks, and leave the rows alone that are right. @param {HTMLElement} list @param {Track[]} tracks */
  #fill(list, tracks) {
    const before = [...list.children], rows = tracks.map((track) => this.#row(track));
    const moved = rows.some((row, i) => row !== before[i] && before.includes(row));
    if (moved || rows.length !== before.length) return list.replaceChildren(...rows);
    rows.forEach((row, i) => { if (row !== before[i]) before[i].replaceWith(row); });
  }

  /** @param {Track} track */
  #row(track) {
    const look = `${track.id === this.#chosen} ${this.#decided.has(track.id)} ${this.shots !== null}`, made = this.#made.get(track.id);
    if (made?.track === track && made.look === look) return made.row;
    const row = this.#build(track);
    this.#made.set(track.id, { row, track, look });
    return row;
  }

  /** @param {Track} track */
  #build(track) {
    const { id, on, label } = track, name = `${oneText(label)} ${id}`, doubtful = (this.#order.get(id) ?? 0) >= DOUBTFUL && !this.#decided.has(id);
    return h('li', { class: `${id === this.#chosen ? 'chosen' : ''} ${placeAt(track, this.#frame) ? 'here' : ''}`, 'data-track': id },
      h('input', { type: 'checkbox', checked: on, 'data-key': `on${id}`, 'aria-label': t('photo.hidename', { name }), onchange: () => this.#tell('flip', id) }),
      h('button', { type: 'button', 'data-key': `of${id}`, 'aria-pressed': String(id === this.#chosen), onclick: () => this.#tell('choose', id) },
        this.#crop(track), h('span', {}, name), h('span', { class: 'quiet small number' }, `${firstOf(track) + 1}–${lastOf(track) + 1}`),
        this.#decided.has(id) ? h('span', { class: 'decided', role: 'img', 'aria-label': t('video.decided') }, '✓') : doubtful ? h('span', { class: 'warn-text', role: 'img', 'aria-label': t('tracks.doubt') }, '?') : ''));
  }

  /** What a track shows, in the frame in which it is seen best. @param {Track} track */
  #crop(track) {
    const { shots } = this, at = bestOf(track), xyxy = placeAt(track, at)?.region.xyxy;
    if (!shots || !xyxy) return '';
    return this.#crops.of(`${at} ${xyxy}`, (canvas) => shots.take(at, (video) => cutOut(canvas, video, xyxy, video.videoWidth / this.width)));
  }

  /** @param {string} name @param {any} detail */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
customElements.define('velum-tracks', VelumTracks);

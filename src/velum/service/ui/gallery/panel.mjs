// @ts-check
/** The people of a video: each with all their tracks, to be kept or hidden together. */
import { getJson, send } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { errorText } from '../parts/error_text.mjs';
import { t } from '../i18n.mjs';
import { joined, parted, personsOf, shownAs, tracksOfPerson } from './persons.mjs';

/** @typedef {import('../video/tracks.mjs').State} State */
/** @typedef {import('./persons.mjs').Person} Person */
/** @typedef {import('./persons.mjs').Persons} Persons */

const PICTURES = 6;

/** Whether the operator allows that people are recognised. @param {AbortSignal} signal @returns {Promise<boolean>} */
export const mayGroup = async (signal) => Boolean((await getJson('v1/plans', signal)).people);

/** Events: `decide` with the ids of tracks and whether they are hidden; `look` with the id of a track and a frame. */
export class VelumGallery extends HTMLElement {
  #gone = new AbortController();
  /** @type {Persons} */
  #persons = [];
  /** @type {State} */
  #state = [];
  /** Numbers of the persons whose tracks are listed. @type {Set<number>} */
  #open = new Set();
  /** Addresses of pictures. @type {Map<string, string>} */
  #pictures = new Map();
  #list = h('ul', { class: 'persons' });
  #note = h('p', { class: 'note', role: 'status', hidden: true });
  #start = h('button', { type: 'button', onclick: () => this.#group() }, t('gallery.group'));
  #tools = h('div', { class: 'row', hidden: true },
    h('button', { type: 'button', onclick: () => this.#decideAll(false) }, t('gallery.keep.all')),
    h('button', { type: 'button', onclick: () => this.#decideAll(true) }, t('gallery.hide.all')));
  /** Path of the job. */
  job = '';
  /** The time of a frame. @type {(frame: number) => string} */
  clock = String;

  connectedCallback() {
    this.className = 'panel gallery';
    this.append(h('h2', {}, t('gallery.title')), h('p', { class: 'note warn' }, t('gallery.warning')), this.#start, this.#note, this.#tools, this.#list);
  }

  disconnectedCallback() {
    this.#gone.abort();
    for (const address of this.#pictures.values()) URL.revokeObjectURL(address);
  }

  /** Show what is decided now. @param {State} state */
  show(state) {
    this.#state = state;
    if (!this.#tools.hidden) this.#draw();
  }

  async #group() {
    this.#start.disabled = true;
    this.#note.hidden = false;
    try {
      await this.#make();
      const { persons } = await getJson(`${this.job}/people`, this.#gone.signal);
      this.#persons = personsOf(persons, this.#state);
      this.#note.textContent = this.#persons.length ? '' : t('gallery.none');
      this.#note.hidden = this.#persons.length > 0;
      this.#tools.hidden = !this.#persons.length;
      this.#start.textContent = t('gallery.again');
      this.#draw();
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#note.textContent = errorText(error);
    } finally {
      this.#start.disabled = false;
    }
  }

  /** Wait until the service has grouped the faces. */
  async #make() {
    for (;;) {
      const { state, share, error } = await send('POST', `${this.job}/people`);
      if (this.#gone.signal.aborted || state === 'ready') return;
      if (state === 'failed') throw new Error(error ?? t('failed'));
      this.#note.textContent = t('gallery.making', { done: Math.round(100 * (share ?? 0)) });
      await new Promise((go) => setTimeout(go, 500));
    }
  }

  /** @param {number[]} ids @param {boolean} on */
  #decide(ids, on) {
    this.dispatchEvent(new CustomEvent('decide', { detail: { ids, on } }));
  }

  /** @param {boolean} on */
  #decideAll(on) {
    this.#decide(this.#persons.flatMap((person) => tracksOfPerson(person, this.#state).map(({ id }) => id)), on);
  }

  /** @param {Persons} persons */
  #regroup(persons) {
    this.#persons = persons;
    this.#draw();
  }

  #draw() {
    const focused = this.contains(document.activeElement) ? document.activeElement?.getAttribute('data-key') : null;
    this.#list.replaceChildren(...this.#persons.map((person) => this.#person(person)));
    if (focused) /** @type {HTMLElement | null} */ (this.#list.querySelector(`[data-key="${focused}"]`))?.focus();
  }

  /** @param {Person} person */
  #person(person) {
    const { number, faces } = person, shown = shownAs(person, this.#state), name = t('gallery.person', { n: number });
    const frames = faces.reduce((sum, face) => sum + face.frames, 0), [{ doubt, mayBe }] = faces;
    const others = this.#persons.filter((other) => other.number !== number);
    const other = h('select', { 'aria-label': t('gallery.join.name', { name }), 'data-key': `join${number}`, onchange: () => this.#join(number, Number(other.value)) },
      h('option', { value: '' }, t('gallery.join')), ...others.map((one) => h('option', { value: one.number }, t('gallery.person', { n: one.number }))));
    const tracks = h('details', { open: this.#open.has(number), ontoggle: () => this.#open[tracks.open ? 'add' : 'delete'](number) },
      h('summary', { 'data-key': `open${number}` }, t('gallery.tracks', { n: faces.length })),
      h('ul', {}, ...faces.map((face) => h('li', { class: 'row' }, this.#picture(face.picture),
        h('button', { type: 'button', 'data-key': `look${number} ${face.id}`, onclick: () => this.dispatchEvent(new CustomEvent('look', { detail: { id: face.id, frame: face.from } })) }, `${this.clock(face.from)} – ${this.clock(face.to)}`),
        faces.length > 1 && h('button', { type: 'button', 'data-key': `part${number} ${face.id}`, onclick: () => this.#regroup(parted(this.#persons, number, face.id)) }, t('gallery.part'))))));
    return h('li', { class: `person ${shown}` },
      h('div', { class: 'row between' }, h('h3', {}, name), h('span', { class: 'badge' }, t(`gallery.is.${shown}`))),
      h('p', { class: 'faces' }, ...faces.slice(0, PICTURES).map((face) => this.#picture(face.picture)), faces.length > PICTURES ? `+${faces.length - PICTURES}` : ''),
      h('p', { class: 'small quiet' }, `${t('gallery.frames', { n: frames })} · ${this.clock(Math.min(...faces.map(({ from }) => from)))} – ${this.clock(Math.max(...faces.map(({ to }) => to)))}`),
      doubt && faces.length === 1 ? h('p', { class: 'small' }, t(`gallery.doubt.${doubt}`, { n: mayBe })) : '',
      h('div', { class: 'row' },
        h('button', { type: 'button', class: 'primary', 'aria-pressed': String(shown === 'visible'), 'aria-label': t('gallery.keep.name', { name }), 'data-key': `keep${number}`, onclick: () => this.#decide(tracksOfPerson(person, this.#state).map(({ id }) => id), shown === 'visible') }, t('gallery.keep')), other),
      tracks);
  }

  /** @param {number} number @param {number} other */
  #join(number, other) {
    if (other) this.#regroup(joined(this.#persons, number, other));
  }

  /** @param {string} encoded */
  #picture(encoded) {
    let src = this.#pictures.get(encoded);
    if (!src) {
      const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
      this.#pictures.set(encoded, src = URL.createObjectURL(new Blob([bytes], { type: 'image/jpeg' })));
    }
    return h('img', { src, alt: '', width: 64, height: 64, loading: 'lazy' });
  }
}
customElements.define('velum-gallery', VelumGallery);

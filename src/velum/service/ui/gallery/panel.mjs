// @ts-check
/** The people of one job or several: each with all their faces, to be kept or hidden together. */
import { send } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { errorText } from '../parts/error_text.mjs';
import { t } from '../i18n.mjs';
import { joined, keysOf, parted, personsOf, shownAs } from './persons.mjs';

/** @typedef {import('./persons.mjs').Face} Face */
/** @typedef {import('./persons.mjs').FaceTrack} FaceTrack */
/** @typedef {import('./persons.mjs').Hidden} Hidden */
/** @typedef {import('./persons.mjs').Person} Person */
/** @typedef {import('./persons.mjs').Persons} Persons */

const PICTURES = 6;

/** Events: `decide` with the keys of faces and whether they are hidden; `look` with a face. */
export class VelumGallery extends HTMLElement {
  #gone = new AbortController();
  /** @type {Persons} */
  #persons = [];
  /** @type {Hidden} */
  #hidden = new Map();
  /** Numbers of the persons whose tracks are listed. @type {Set<number>} */
  #open = new Set();
  /** Addresses of pictures. @type {Map<string, string>} */
  #pictures = new Map();
  #list = h('ul', { class: 'persons' });
  #note = h('p', { class: 'note', role: 'status', hidden: true });
  #start = h('button', { type: 'button', onclick: () => this.#group() }, t('gallery.group'));
  #tools = h('div', { class: 'row', hidden: true },
    h('button', { type: 'button', onclick: () => this.#decide(this.#persons, false) }, t('gallery.keep.all')),
    h('button', { type: 'button', onclick: () => this.#decide(this.#persons, true) }, t('gallery.hide.all')));
  /** Ids of the jobs. @type {string[]} */
  jobs = [];
  title = t('gallery.title');
  /** Makes what gives the key of a face, by the present regions. @type {() => (track: FaceTrack) => string | undefined} */
  keys = () => () => undefined;
  /** Says where a face is. @type {(face: Face) => string} */
  placeOf = ({ from, to }) => `${from + 1} – ${to + 1}`;
  /** Says how much there is of a person. @type {(faces: readonly Face[]) => string} */
  extentOf = (faces) => t('gallery.frames', { n: faces.reduce((sum, { frames }) => sum + frames, 0) });

  connectedCallback() {
    this.className = 'panel gallery';
    this.append(h('h2', {}, this.title), h('p', { class: 'note warn' }, t('gallery.warning')), this.#start, this.#note, this.#tools, this.#list);
  }

  disconnectedCallback() {
    this.#gone.abort();
    for (const address of this.#pictures.values()) URL.revokeObjectURL(address);
  }

  /** Show what is decided now. @param {Hidden} hidden */
  show(hidden) {
    this.#hidden = hidden;
    if (!this.#tools.hidden) this.#draw();
  }

  async #group() {
    this.#start.disabled = true;
    this.#note.hidden = false;
    try {
      const found = await this.#make();
      if (!found) return;
      this.#persons = personsOf(found, this.keys());
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

  /** Wait until the service has grouped the faces; nothing when the page is left. @returns {Promise<{ tracks: FaceTrack[] }[] | undefined>} */
  async #make() {
    for (;;) {
      const { state, share, error, persons } = await send('POST', 'v1/people', { jobs: this.jobs });
      if (this.#gone.signal.aborted) return undefined;
      if (state === 'ready' && persons) return persons;
      if (state === 'failed') throw new Error(error ?? t('failed'));
      this.#note.textContent = t('gallery.making', { done: Math.round(100 * (share ?? 0)) });
      await new Promise((go) => setTimeout(go, 500));
    }
  }

  /** @param {readonly Person[]} persons @param {boolean} on */
  #decide(persons, on) {
    this.dispatchEvent(new CustomEvent('decide', { detail: { keys: persons.flatMap((person) => keysOf(person, this.#hidden)), on } }));
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
    const { number, faces } = person, shown = shownAs(person, this.#hidden), name = t('gallery.person', { n: number });
    const [{ doubt, mayBe }] = faces;
    const others = this.#persons.filter((other) => other.number !== number);
    const other = h('select', { 'aria-label': t('gallery.join.name', { name }), 'data-key': `join${number}`, onchange: () => this.#join(number, Number(other.value)) },
      h('option', { value: '' }, t('gallery.join')), ...others.map((one) => h('option', { value: one.number }, t('gallery.person', { n: one.number }))));
    const tracks = h('details', { open: this.#open.has(number), ontoggle: () => this.#open[tracks.open ? 'add' : 'delete'](number) },
      h('summary', { 'data-key': `open${number}` }, t('gallery.tracks', { n: faces.length })),
      h('ul', {}, ...faces.map((face) => h('li', { class: 'row' }, this.#picture(face.picture),
        h('button', { type: 'button', 'data-key': `look${number} ${face.key}`, onclick: () => this.dispatchEvent(new CustomEvent('look', { detail: face })) }, this.placeOf(face)),
        faces.length > 1 && h('button', { type: 'button', 'data-key': `part${number} ${face.key}`, onclick: () => this.#regroup(parted(this.#persons, number, face.key)) }, t('gallery.part'))))));
    return h('li', { class: `person ${shown}` },
      h('div', { class: 'row between' }, h('h3', {}, name), h('span', { class: 'badge' }, t(`gallery.is.${shown}`))),
      h('p', { class: 'faces' }, ...faces.slice(0, PICTURES).map((face) => this.#picture(face.picture)), faces.length > PICTURES ? `+${faces.length - PICTURES}` : ''),
      h('p', { class: 'small quiet' }, this.extentOf(faces)),
      doubt && faces.length === 1 ? h('p', { class: 'small' }, t(`gallery.doubt.${doubt}`, { n: mayBe })) : '',
      h('div', { class: 'row' },
        h('button', { type: 'button', class: shown === 'visible' ? '' : 'primary', 'aria-label': t(`gallery.${shown === 'visible' ? 'hide' : 'keep'}.name`, { name }), 'data-key': `keep${number}`, onclick: () => this.#decide([person], shown === 'visible') }, t(`gallery.${shown === 'visible' ? 'hide' : 'keep'}`)), other),
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

// @ts-check
/** A video: play it, step through it, see who is followed where, leave some of them visible, render it anew. */
import { address, follow, getBlob, getJson, Problem, request, save, send, signedIn } from '../api.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import '../parts/progress.mjs';
import { tell } from '../parts/toast.mjs';
import { t } from '../texts.mjs';
import { doubtful, keyOf, tracksOf, without } from './tracks.mjs';

/** @typedef {import('../api.mjs').Job} Job */
/** @typedef {import('./tracks.mjs').Track} Track */
/** @typedef {import('../parts/progress.mjs').VelumProgress} VelumProgress */

const COLOURS = { detected: '--accent', filled: '--warn', manual: '--good' };

class VelumVideo extends HTMLElement {
  #id = '';
  /** @type {Job | null} */
  #job = null;
  /** @type {import('../api.mjs').Regions | null} */
  #regions = null;
  #tag = '';
  /** @type {Track[]} */
  #tracks = [];
  /** @type {Set<string>} */
  #off = new Set();
  /** @type {Set<string>[]} */
  #past = [];
  /** @type {Set<string>[]} */
  #future = [];
  #frame = 0;
  #original = false;
  #stop = new AbortController();
  #video = h('video', { controls: true, muted: true, playsInline: true, preload: 'auto' });
  #boxes = h('div', { class: 'boxes' });
  #list = h('ul', { class: 'tracks', 'aria-label': t('video.tracks') });
  #title = h('h1', {});
  #actions = h('div', { class: 'row end' });
  #count = h('p', { class: 'quiet', role: 'status' });
  #where = h('span', { class: 'quiet number', role: 'status' });
  #state = h('div', {});
  #undo = h('button', { onclick: () => this.#back(this.#past, this.#future) }, icon(ICONS.undo), t('photo.undo'));
  #redo = h('button', { onclick: () => this.#back(this.#future, this.#past) }, icon(ICONS.redo), t('photo.redo'));
  #shown = h('button', { 'aria-pressed': 'false', onclick: () => this.#show(!this.#original) }, t('video.original'));

  connectedCallback() {
    this.#id = this.getAttribute('job') ?? '';
    this.append(h('div', { class: 'photo wide-video' },
      h('div', { class: 'row between' },
        h('div', { class: 'photo-title' }, h('a', { class: 'small', href: '#/jobs' }, t('nav.jobs')), this.#title), this.#actions),
      this.#state,
      h('div', { class: 'row tools' }, this.#shown,
        h('button', { onclick: () => this.#step(-1) }, t('video.before')), h('button', { onclick: () => this.#step(1) }, t('video.after')),
        h('button', { onclick: () => this.#doubt() }, t('video.doubt')), this.#where, h('span', { class: 'gap' }), this.#undo, this.#redo),
      h('div', { class: 'screen' }, this.#video, this.#boxes), this.#count, this.#list));
    for (const event of ['timeupdate', 'seeked', 'loadeddata']) this.#video.addEventListener(event, () => this.#moved());
    this.#video.addEventListener('error', () => this.#state.replaceChildren(h('p', { class: 'note warn' }, t('video.cannot'))));
    this.#load();
  }

  disconnectedCallback() {
    this.#stop.abort();
    URL.revokeObjectURL(this.#video.src);
  }

  async #load() {
    try {
      this.#job = /** @type {Job} */ (await getJson(`v1/jobs/${this.#id}`, this.#stop.signal));
      this.#title.textContent = this.#job.name;
      if (this.#job.state !== 'done') await this.#wait();
      const answer = await request(`v1/jobs/${this.#id}/regions`, { signal: this.#stop.signal });
      this.#tag = answer.headers.get('etag') ?? '';
      this.#regions = await answer.json();
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const unknown = error instanceof Problem && error.status === 404;
      this.#state.replaceChildren(h('p', { class: 'note bad' }, unknown ? t('photo.unknown') : error instanceof Error ? error.message : String(error)));
      return;
    }
    if (this.#regions) this.#tracks = tracksOf(this.#regions);
    this.#off = new Set();
    this.#past = [];
    this.#future = [];
    this.#draw();
    await this.#show(this.#original);
  }

  async #wait() {
    const bar = /** @type {VelumProgress} */ (document.createElement('velum-progress'));
    this.#state.replaceChildren(bar);
    const job = await follow(this.#id, ({ frames, seconds_left: left }) => {
      bar.set(frames.total ? frames.done / frames.total : null, left === null ? t('photo.rendering') : t('left.seconds', { n: Math.ceil(left) }), t('photo.rendering'));
    }, this.#stop.signal);
    this.#state.replaceChildren();
    if (!job) throw new Problem(404, 'NotFound', t('photo.deleted'));
    this.#job = job;
    if (job.state !== 'done') throw new Error(job.error?.message ?? t(`state.${job.state}`));
  }

  /** @param {boolean} original */
  async #show(original) {
    this.#original = original;
    this.#shown.setAttribute('aria-pressed', String(original));
    const at = this.#video.currentTime, path = `v1/jobs/${this.#id}/${original ? 'source' : 'result'}`;
    // An element of the page sends no key.
    this.#video.src = signedIn() ? URL.createObjectURL(await getBlob(path, this.#stop.signal)) : `${address(path)}#${this.#job?.ended}`;
    this.#video.currentTime = at;
    this.#moved();
  }

  get #frames() {
    return Math.max(1, this.#job?.frames.total ?? this.#regions?.frames.length ?? 1);
  }

  get #rate() {
    return this.#video.duration ? this.#frames / this.#video.duration : 25;
  }

  #moved() {
    this.#frame = Math.min(this.#frames - 1, Math.floor(this.#video.currentTime * this.#rate + 0.01));
    this.#where.textContent = t('video.frame', { n: this.#frame + 1, all: this.#frames });
    this.style.setProperty('--at', String((this.#frame + 0.5) / this.#frames));
    this.#overlay();
  }

  /** @param {number} frame */
  #go(frame) {
    this.#video.pause();
    this.#video.currentTime = (Math.max(0, Math.min(this.#frames - 1, frame)) + 0.5) / this.#rate;
  }

  /** @param {number} by */
  #step(by) {
    this.#go(this.#frame + by);
  }

  #doubt() {
    const all = doubtful(this.#tracks, this.#frames);
    const next = all.find((frame) => frame > this.#frame) ?? all[0];
    if (next === undefined) tell(t('video.nodoubt'));
    else this.#go(next);
  }

  #overlay() {
    const regions = this.#regions;
    if (!regions) return;
    const there = this.#tracks.flatMap((track) => track.at.get(this.#frame) ?? []);
    this.#boxes.replaceChildren(...there.map((region) => {
      const key = keyOf(region), off = this.#off.has(key), [x0, y0, x1, y1] = region.xyxy;
      const box = h('button', { class: off ? 'box off' : this.#original ? 'box black' : 'box', 'aria-pressed': String(!off),
        'aria-label': this.#name(key), title: this.#name(key), onclick: () => this.#turn(key) });
      Object.assign(box.style, { left: `${(x0 / regions.width) * 100}%`, top: `${(y0 / regions.height) * 100}%`,
        width: `${((x1 - x0) / regions.width) * 100}%`, height: `${((y1 - y0) / regions.height) * 100}%` });
      return box;
    }));
    this.#boxes.style.aspectRatio = `${regions.width} / ${regions.height}`;
  }

  /** @param {string} key */
  #name(key) {
    const number = this.#tracks.findIndex((track) => track.key === key), label = this.#tracks[number].label;
    const word = t(`one.${label}`);
    return `${word === `one.${label}` ? label : word} ${number + 1}`;
  }

  /** @param {string} key */
  #turn(key) {
    this.#past.push(new Set(this.#off));
    this.#future = [];
    if (!this.#off.delete(key)) this.#off.add(key);
    this.#draw();
  }

  /** @param {Set<string>[]} from @param {Set<string>[]} to */
  #back(from, to) {
    const state = from.pop();
    if (!state) return;
    to.push(this.#off);
    this.#off = state;
    this.#draw();
  }

  #draw() {
    this.#undo.disabled = !this.#past.length;
    this.#redo.disabled = !this.#future.length;
    const hidden = this.#tracks.length - this.#off.size;
    this.#count.textContent = this.#tracks.length ? t('video.count', { n: hidden, off: this.#off.size }) : t('photo.none');
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.key;
    this.#list.replaceChildren(...this.#tracks.map((track) => this.#row(track)));
    if (focused) /** @type {HTMLElement | null} */ (this.querySelector(`[data-key="${CSS.escape(focused)}"]`))?.focus();
    const changed = this.#off.size > 0;
    this.#actions.replaceChildren(
      h('button', { class: changed ? '' : 'primary', onclick: () => save(`v1/jobs/${this.#id}/result`, this.#job?.result_name ?? 'result') }, icon(ICONS.download), t('download')),
      h('button', { class: 'primary', hidden: !changed, onclick: () => this.#render() }, t('photo.render')));
    if (changed) this.#state.replaceChildren(h('p', { class: 'note warn' }, t('video.stale')));
    else this.#state.replaceChildren();
    this.#overlay();
  }

  /** @param {Track} track */
  #row(track) {
    const name = this.#name(track.key), bar = h('canvas', { class: 'bar', width: 1200, height: 14, role: 'img', 'aria-label': t('video.bar', { from: track.first + 1, to: track.last + 1 }) });
    this.#paint(bar, track);
    bar.addEventListener('click', (event) => this.#go(Math.floor((event.offsetX / bar.clientWidth) * this.#frames)));
    return h('li', {},
      h('label', { class: 'check' }, h('input', { type: 'checkbox', checked: !this.#off.has(track.key), 'data-key': track.key, onchange: () => this.#turn(track.key) }), h('span', {}, name)),
      h('button', { class: 'plain small', onclick: () => this.#go(track.first), title: t('video.go', { name }), 'aria-label': `${t('video.score', { n: Math.round(track.best * 100) })}. ${t('video.go', { name })}` }, t('video.score', { n: Math.round(track.best * 100) })),
      bar);
  }

  /** @param {HTMLCanvasElement} bar @param {Track} track */
  #paint(bar, track) {
    const pen = bar.getContext('2d');
    if (!pen) return;
    const style = getComputedStyle(document.documentElement), wide = bar.width / this.#frames;
    // A custom property holds both colours of light-dark(): an element resolves them.
    const probe = h('i', { hidden: true });
    document.body.append(probe);
    for (const { from, to, kind } of track.stretches) {
      probe.style.color = style.getPropertyValue(COLOURS[kind]);
      pen.fillStyle = getComputedStyle(probe).color;
      pen.fillRect(from * wide, 0, Math.max(2, (to - from + 1) * wide), bar.height);
    }
    probe.remove();
  }

  async #render() {
    if (!this.#regions) return;
    try {
      await send('PUT', `v1/jobs/${this.#id}/regions`, without(this.#regions, this.#off), { 'if-match': this.#tag });
      await send('POST', `v1/jobs/${this.#id}/render`);
    } catch (error) {
      tell(error instanceof Problem && error.status === 412 ? t('photo.others') : error instanceof Error ? error.message : String(error), 'bad');
      return;
    }
    this.#original = false;
    await this.#load();
    tell(t('photo.rendered'));
  }
}
customElements.define('velum-video', VelumVideo);

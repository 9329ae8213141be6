// @ts-check
/** A video in an archive, a document or a log: original and result side by side, frame by frame, and what is hidden when. */
import { h, icon, ICONS } from '../parts/dom.mjs';
import { behind } from '../parts/error_text.mjs';
import { play } from '../parts/player.mjs';
import { momentText, t } from '../i18n.mjs';
import { oneText } from './labels.mjs';
import { tracksAt } from './members.mjs';

/** @typedef {import('./members.mjs').Track} Track */
/** @typedef {'before' | 'side' | 'after'} Mode */

const MODES = /** @type {const} */ (['before', 'side', 'after']);
/** Of two players, what drifts apart by so many seconds is set right: each jump is seen. */
const DRIFT = 0.15;
/** Rows of the strip of tracks. */
const ROWS = 8;

/** Event: `played` once the result was played. */
export class VelumFilm extends HTMLElement {
  #gone = new AbortController();
  #players = { source: this.#player('source'), result: this.#player('result') };
  #ready = new Set();
  /** @type {Mode} */
  #mode = 'after';
  #frames = 1;
  /** @type {Track[]} */
  #tracks = [];
  #play = h('button', { type: 'button', class: 'primary', disabled: true, 'aria-label': t('sound.play'), onclick: () => this.#toggle() }, icon(ICONS.play));
  #clock = h('output', { class: 'number small' });
  #seek = h('input', { type: 'range', min: '0', max: '1', step: '1', value: '0', disabled: true, 'aria-label': t('sound.seek'), oninput: () => this.#go(Number(this.#seek.value)) });
  #choice = h('div', { class: 'row', role: 'group', 'aria-label': t('video.view') });
  #what = h('p', { class: 'small quiet', role: 'status' });
  #note = h('div', { 'aria-live': 'polite' });
  #strip = h('div', { class: 'film-strip', 'aria-hidden': 'true' });

  /** @param {'source' | 'result'} of */
  #player(of) {
    return h('video', { muted: true, playsInline: true, preload: 'auto', tabIndex: -1, 'aria-label': t(of === 'source' ? 'photo.view.before' : 'video.result') });
  }

  /**
   * @param {string} path of the job @param {string} member @param {number} frames @param {Track[]} tracks
   * @param {boolean} original whether it may be seen
   */
  open(path, member, frames, tracks, original) {
    [this.#frames, this.#tracks] = [Math.max(frames, 1), tracks];
    this.#seek.max = String(this.#frames - 1);
    this.#mode = original && matchMedia('(min-width: 60rem)').matches ? 'side' : 'after';
    const files = original ? /** @type {const} */ (['source', 'result']) : /** @type {const} */ (['result']);
    this.#choice.replaceChildren(...(original ? MODES.map((mode) => h('button', { type: 'button', 'data-mode': mode, onclick: () => { this.#mode = mode; this.#show(); } }, t(`video.view.${mode}`))) : []));
    this.#strip.append(...tracks.map(({ first_frame: first, last_frame: last }, i) => {
      const mark = h('i');
      mark.style.left = `${100 * first / this.#frames}%`;
      mark.style.width = `${100 * (last - first + 1) / this.#frames}%`;
      mark.style.top = `${100 * (i % ROWS) / Math.min(ROWS, tracks.length)}%`;
      mark.style.height = `${100 / Math.min(ROWS, tracks.length)}%`;
      return mark;
    }), h('i', { class: 'head' }));
    this.#strip.hidden = !tracks.length;
    this.replaceChildren(
      h('div', { class: 'film-panes' }, ...files.map((of) => h('div', { class: 'film-pane', 'data-of': of }, this.#players[of], h('span', { class: 'side-name' }, t(of === 'source' ? 'photo.side.before' : 'photo.side.after'))))),
      this.#note, h('div', { class: 'row' }, this.#play, this.#clock, h('span', { class: 'gap' }), this.#choice), this.#strip, this.#seek, this.#what);
    for (const of of files) this.#load(path, of, member);
    const { source, result } = this.#players;
    for (const event of ['timeupdate', 'seeked', 'play', 'pause', 'ended']) result.addEventListener(event, () => this.#show());
    result.addEventListener('pause', () => source.pause());
    this.#show();
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  /** @param {string} path @param {'source' | 'result'} of @param {string} member */
  async #load(path, of, member) {
    const { signal } = this.#gone;
    try {
      await play(this.#players[of], path, { of, member }, (share) => {
        if (of === 'result') this.#note.replaceChildren(h('p', { class: 'note', role: 'status' }, t('film.making', { done: Math.round(100 * share) })));
      }, signal);
    } catch (error) {
      if (!signal.aborted) this.#note.replaceChildren(h('div', { class: 'note warn' }, t(of === 'source' ? 'film.cannot.source' : 'video.cannot.result'), behind(error instanceof Error ? error.message : '')));
      return;
    }
    this.#ready.add(of);
    if (of === 'result') this.#note.replaceChildren();
    this.#show();
  }

  #toggle() {
    const { source, result } = this.#players;
    if (!result.paused) return result.pause();
    result.play().catch(() => {});
    if (this.#ready.has('source')) source.play().catch(() => {});
  }

  /** @param {number} frame */
  #go(frame) {
    const { result } = this.#players;
    // Into the frame: on its edge, browsers show the one before.
    result.currentTime = (frame + 0.5) * (result.duration || 0) / this.#frames;
    this.#show();
  }

  #show() {
    const { source, result } = this.#players, running = !result.paused && !result.ended;
    if (this.#ready.has('source') && (!running || Math.abs(source.currentTime - result.currentTime) > DRIFT)) source.currentTime = result.currentTime;
    this.dataset.mode = this.#mode;
    if (running && this.#mode !== 'before') this.dispatchEvent(new Event('played'));
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.#choice.querySelectorAll('button'))) button.setAttribute('aria-pressed', String(button.dataset.mode === this.#mode));
    this.#play.disabled = this.#seek.disabled = !this.#ready.has('result');
    this.#play.replaceChildren(icon(running ? ICONS.pause : ICONS.play));
    this.#play.setAttribute('aria-label', t(running ? 'sound.pause' : 'sound.play'));
    const all = result.duration || 0, frame = all ? Math.min(this.#frames - 1, Math.floor(this.#frames * result.currentTime / all)) : 0;
    this.#seek.value = String(frame);
    this.#clock.textContent = `${momentText(result.currentTime)} / ${momentText(all)}`;
    /** @type {HTMLElement} */ (this.#strip.querySelector('.head')).style.left = `${100 * (frame + 0.5) / this.#frames}%`;
    const here = tracksAt(this.#tracks, frame).map(({ label }) => oneText(label));
    this.#what.textContent = t(here.length ? 'film.here' : 'film.nothing', { at: frame + 1, all: this.#frames, what: here.join(', ') });
  }
}
customElements.define('velum-film', VelumFilm);

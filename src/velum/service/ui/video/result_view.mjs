// @ts-check
/** The finished video over or beside the original, at the same frame. */
import { address, send } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { behind } from '../parts/error_text.mjs';
import { t } from '../i18n.mjs';
import { within } from './frame_times.mjs';

/** @typedef {'before' | 'side' | 'after'} Mode */

const MODES = /** @type {const} */ (['before', 'side', 'after']);

/** Event: `mode`. */
export class VelumResult extends HTMLElement {
  video = h('video', { muted: true, playsInline: true, preload: 'auto', tabIndex: -1, 'aria-label': t('video.result') });
  /** @type {Mode} */
  mode = 'before';
  #note = h('div', { class: 'result-note note', hidden: true, role: 'status' });
  #buttons = MODES.map((mode) => h('button', { type: 'button', 'aria-pressed': String(mode === this.mode), onclick: () => this.use(mode) }, t(`video.view.${mode}`)));
  /** The row of buttons that choose what is shown. */
  choice = h('div', { class: 'row', role: 'group', 'aria-label': t('video.view') }, ...this.#buttons);
  #path = '';
  #loaded = '';
  /** @type {import('./video_canvas.mjs').VelumStage | null} */
  #stage = null;

  connectedCallback() {
    if (!this.firstChild) this.append(this.video, h('span', { class: 'side-name' }, t('photo.side.after')), this.#note);
  }

  disconnectedCallback() {
    this.video.pause();
    this.video.removeAttribute('src');
    this.video.load();
  }

  /** @param {string} path of the job @param {import('./video_canvas.mjs').VelumStage} stage that it keeps step with */
  follow(path, stage) {
    [this.#path, this.#stage] = [path, stage];
    const step = () => {
      const { video } = stage;
      if (this.mode === 'before' || !this.video.duration) return;
      const at = within(stage.times, stage.frame);
      // While both play, only what drifts apart is set right: each jump is seen.
      if (video.paused || Math.abs(this.video.currentTime - video.currentTime) > 0.25) this.video.currentTime = Math.min(at, this.video.duration);
    };
    stage.addEventListener('frame', step);
    stage.video.addEventListener('play', () => { if (this.mode !== 'before') this.video.play().catch(() => {}); });
    stage.video.addEventListener('pause', () => { this.video.pause(); step(); });
    stage.video.addEventListener('ratechange', () => { this.video.playbackRate = stage.video.playbackRate; });
    this.video.addEventListener('loadeddata', step);
  }

  /** The result was made anew: show it, all of it. @param {boolean} show */
  renew(show) {
    this.#loaded = '';
    if (show || this.mode !== 'before') this.use('after');
  }

  /** @param {Mode} mode */
  async use(mode) {
    this.mode = mode;
    this.#buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(MODES[i] === mode)));
    this.parentElement?.setAttribute('data-mode', mode);
    this.dispatchEvent(new Event('mode'));
    if (mode === 'before') return this.video.pause();
    if (this.#loaded !== this.#path) await this.#load();
    const { video } = this.#stage ?? {};
    if (video && !video.paused) this.video.play().catch(() => {});
  }

  async #load() {
    this.#loaded = this.#path;
    this.#note.hidden = false;
    this.#note.textContent = '…';
    const stamp = Date.now();
    // The address is another one each time: a browser keeps what it played under the old one.
    if (await this.#plays(`${this.#path}/result?at=${stamp}`)) return;
    for (;;) {
      const { state, share, error } = await send('POST', `${this.#path}/preview?of=result`).catch(() => ({ state: 'failed', share: 0, error: '' }));
      if (!this.isConnected) return;
      if (state === 'ready' && await this.#plays(`${this.#path}/preview?of=result&at=${stamp}`)) return;
      if (state !== 'making') {
        this.#note.replaceChildren(t('video.cannot.result'), behind(error ?? ''));
        return;
      }
      this.#note.textContent = t('video.making', { done: Math.round(100 * (share ?? 0)) });
      await new Promise((go) => setTimeout(go, 500));
    }
  }

  /** @param {string} path @returns {Promise<boolean>} */
  async #plays(path) {
    const loaded = new Promise((go) => {
      this.video.addEventListener('loadeddata', () => go(true), { once: true });
      this.video.addEventListener('error', () => go(false), { once: true });
    });
    this.video.src = address(path);
    const plays = await loaded && this.video.videoWidth > 0;
    if (plays) this.#note.hidden = true;
    return plays;
  }
}
customElements.define('velum-result', VelumResult);

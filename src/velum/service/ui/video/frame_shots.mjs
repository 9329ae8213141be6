// @ts-check
/** Small pictures of single frames of a video, by a player that nobody sees: one after another, those for lists first. */
import { h } from '../parts/dom.mjs';
import { within } from './frame_times.mjs';

/** A frame that does not come within this time is tried again after the others. */
const LONGEST_MS = 4000;
const TRIES = 5;

/** @typedef {(video: HTMLVideoElement) => void} Draw */

export class FrameShots {
  #video = h('video', { muted: true, playsInline: true, preload: 'auto' });
  /** @type {readonly number[]} */
  #times = [];
  /** @type {{ frame: number, draw: Draw, tries: number }[]} */
  #first = [];
  /** @type {{ frame: number, draw: Draw, tries: number }[]} */
  #later = [];
  #busy = false;
  #ready = false;
  /** The player that is looked at. @type {HTMLVideoElement | null} */
  ahead = null;

  /** @param {AbortSignal} signal when they are wanted no more */
  constructor(signal) {
    signal.addEventListener('abort', () => {
      this.#ready = false;
      [this.#first, this.#later] = [[], []];
      this.#video.removeAttribute('src');
      this.#video.load();
    }, { once: true });
  }

  /** @param {string} src that the browser plays @param {readonly number[]} times of its frames */
  open(src, times) {
    this.#times = times;
    this.#video.addEventListener('loadedmetadata', () => {
      this.#ready = true;
      this.#work();
    }, { once: true });
    this.#video.src = src;
  }

  /** Have a frame drawn. @param {number} frame @param {Draw} draw @param {boolean} [first] before those that are not */
  take(frame, draw, first = true) {
    (first ? this.#first : this.#later).push({ frame, draw, tries: TRIES });
    this.#work();
  }

  /** Forget those that are not first and have not been drawn. */
  forget() {
    this.#later = [];
  }

  async #work() {
    if (this.#busy || !this.#ready) return;
    this.#busy = true;
    for (let queue, next; this.#ready && (queue = this.#first.length ? this.#first : this.#later, next = queue.shift());) {
      // What somebody waits for comes first.
      if (this.ahead?.seeking) await new Promise((go) => { this.ahead?.addEventListener('seeked', go, { once: true }); setTimeout(go, LONGEST_MS); });
      if (await this.#seek(next.frame)) next.draw(this.#video);
      else if (next.tries > 1) queue.push({ ...next, tries: next.tries - 1 });
    }
    this.#busy = false;
  }

  /** @param {number} frame @returns {Promise<boolean>} whether it is there */
  #seek(frame) {
    return new Promise((go) => {
      const end = (/** @type {boolean} */ there) => {
        clearTimeout(timer);
        this.#video.removeEventListener('seeked', shown);
        go(there && this.#video.readyState >= 2);
      };
      const shown = () => end(true), timer = setTimeout(() => end(false), LONGEST_MS);
      this.#video.addEventListener('seeked', shown);
      this.#video.currentTime = within(this.#times, Math.min(frame, this.#times.length - 1));
    });
  }
}

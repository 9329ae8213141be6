// @ts-check
/** A sound file: original and result at the same moment, and the stretches of it that were muted or got other voices. */
import { request } from '../api.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import { behind } from '../parts/error_text.mjs';
import { play } from '../parts/player.mjs';
import { remarks } from '../parts/remarks.mjs';
import { momentText, t } from '../i18n.mjs';
import { shareOf, soundOf } from './spans.mjs';

const SIDE = 1600;
/** Seconds before a stretch from which it is played, and of a step. */
const LEAD = 1, STEP = 1, LONG_STEP = 5;

/** Event: `heard` once the result was played. */
export class VelumSound extends HTMLElement {
  /** Whether the result was played: then it may be approved. */
  heard = false;
  #path = '';
  #member = '';
  #gone = new AbortController();
  #seconds = 0;
  /** @type {import('./spans.mjs').Sound} */
  #sound = { action: 'speech-mute', spans: [], tracks: 1 };
  /** @type {'source' | 'result'} */
  #of = 'result';
  #players = { source: h('audio', { preload: 'metadata' }), result: h('audio', { preload: 'metadata' }) };
  #ready = new Set();
  #waves = h('div', { class: 'waves' });
  #play = h('button', { type: 'button', class: 'primary', 'aria-label': t('sound.play'), title: t('sound.play.how'), disabled: true, onclick: () => this.#toggle() }, icon(ICONS.play));
  #clock = h('output', { class: 'number small' });
  #seek = h('input', { type: 'range', min: '0', max: '1', step: '0.1', value: '0', disabled: true, 'aria-label': t('sound.seek'), oninput: () => this.#go(Number(this.#seek.value)) });
  #choice = h('div', { class: 'row', role: 'group', 'aria-label': t('video.view') });
  #note = h('div', { 'aria-live': 'polite' });
  #list = h('ul', { class: 'regions spans' });
  #frame = 0;

  /** The player that is heard. */
  get #now() {
    return this.#players[this.#of];
  }

  /**
   * @param {string} path of the job @param {import('./spans.mjs').SoundReport} report @param {boolean} original whether it may be heard
   * @param {string} [member] of an archive, beside whose list it is shown
   */
  open(path, report, original, member = '') {
    [this.#path, this.#sound, this.#member] = [path, soundOf(report), member];
    const { spans, action, tracks } = this.#sound;
    const files = original ? /** @type {const} */ (['source', 'result']) : /** @type {const} */ (['result']);
    this.#choice.replaceChildren(...(original ? files.map((of) => h('button', { type: 'button', 'data-of': of, 'aria-pressed': String(of === this.#of), onclick: () => this.#listen(of) }, t(of === 'source' ? 'photo.view.before' : 'photo.view.after'))) : []));
    this.#list.append(...spans.map((span, i) => this.#row(span, i)));
    this.#waves.append(...files.map((of) => this.#wave(of)));
    const stage = h('div', { class: 'stage' },
      h('div', { class: 'row tools', role: 'toolbar', 'aria-label': t('sound.tools') }, this.#play, this.#clock, h('span', { class: 'gap' }), this.#choice),
      this.#waves, this.#seek, spans.length ? h('p', { class: 'small quiet sound-legend' }, h('span', { class: 'key', 'aria-hidden': 'true' }), t(`sound.legend.${action === 'voice' ? 'voice' : 'mute'}`)) : '', this.#note);
    const side = h('aside', { class: 'panel stack', 'aria-label': t('document.members') },
      h('div', {}, h('h2', {}, t(spans.length || action === 'silence' ? `sound.done.${action}` : 'sound.done.none', { n: spans.length })), h('p', { class: 'quiet share' })),
      action === 'voice' ? h('p', { class: 'note warn' }, t('sound.weak')) : '',
      tracks > 1 ? h('p', { class: 'note warn' }, t('sound.tracks', { n: tracks })) : '',
      remarks(report.warnings), this.#list, h('p', { class: 'small quiet' }, t(action === 'silence' ? 'sound.all.how' : 'sound.missed')));
    if (member) {
      side.className = 'stack tight';
      side.removeAttribute('aria-label');
      stage.append(side);
    }
    this.classList.toggle('alone', !member);
    this.replaceChildren(stage, member ? '' : side, ...files.map((of) => this.#players[of]));
    for (const of of files) this.#load(of);
    this.#players.result.addEventListener('playing', () => this.#wasHeard());
    addEventListener('keydown', (event) => this.#key(event), { signal: this.#gone.signal });
    this.#tick();
  }

  disconnectedCallback() {
    this.#gone.abort();
    cancelAnimationFrame(this.#frame);
  }

  /** What is not played cannot be approved. */
  #wasHeard() {
    if (this.heard || this.#sound.tracks > 1) return;
    this.heard = true;
    this.dispatchEvent(new Event('heard'));
  }

  /** @param {[number, number]} span @param {number} i */
  #row([from, to], i) {
    return h('li', {}, h('button', { type: 'button', class: 'plain', onclick: () => this.#listenTo(i) },
      h('span', { class: 'number' }, t('sound.span', { from: momentText(from), to: momentText(to) })), h('span', { class: 'small quiet number' }, t('sound.seconds', { n: (to - from).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 }) }))));
  }

  /** How loud it is, what was muted in it, and where it is heard. @param {'source' | 'result'} of */
  #wave(of) {
    const picture = h('img', { alt: '', draggable: false }), box = h('div', { class: 'wave', 'data-of': of, onclick: (/** @type {MouseEvent} */ event) => {
      const { left, width } = box.getBoundingClientRect();
      this.#go(this.#seconds * (event.clientX - left) / width);
    } }, picture, h('span', { class: 'side-name' }, t(of === 'source' ? 'photo.side.before' : 'photo.side.after')), h('i', { class: 'head' }));
    this.#draw(of, picture, box).catch(() => {}); // without it, the player is there
    return box;
  }

  /** @param {'source' | 'result'} of @param {HTMLImageElement} picture @param {HTMLElement} box */
  async #draw(of, picture, box) {
    const answer = await request(`${this.#path}/still?${new URLSearchParams({ of, side: String(SIDE), member: this.#member })}`, { signal: this.#gone.signal });
    const seconds = Number(answer.headers.get('x-velum-seconds') ?? 0);
    picture.src = URL.createObjectURL(await answer.blob());
    picture.addEventListener('load', () => URL.revokeObjectURL(picture.src), { once: true });
    this.#lasts(Math.max(seconds, this.#seconds));
    const { spans, action } = this.#sound;
    for (const [from, to] of action === 'silence' ? [[0, seconds]] : spans) {
      const mark = h('i', { class: 'muted' });
      mark.style.left = `${100 * from / seconds}%`;
      mark.style.width = `${100 * (Math.min(to, seconds) - from) / seconds}%`;
      box.append(mark);
    }
  }

  /** @param {number} seconds of the file */
  #lasts(seconds) {
    this.#seconds = seconds;
    this.#seek.max = String(seconds);
    const share = shareOf(this.#sound, seconds), place = this.querySelector('.share');
    if (place && share !== null) place.textContent = t('sound.share', { part: momentText(share), all: momentText(seconds) });
    this.#show();
  }

  /** @param {'source' | 'result'} of */
  async #load(of) {
    const player = this.#players[of], { signal } = this.#gone;
    try {
      await play(player, this.#path, { of, member: this.#member }, () => this.#note.replaceChildren(h('p', { class: 'note', role: 'status' }, t('sound.making'))), signal);
    } catch (error) {
      if (!signal.aborted) this.#note.replaceChildren(h('div', { class: 'note warn' }, t(of === 'source' ? 'sound.cannot.source' : 'sound.cannot'), behind(error instanceof Error ? error.message : '')));
      return;
    }
    this.#ready.add(of);
    if (of === 'result') this.#note.replaceChildren();
    if (!this.#seconds && Number.isFinite(player.duration)) this.#lasts(player.duration);
    player.addEventListener('ended', () => this.#show());
    this.#show();
  }

  /** Hear the other one from the same moment on. @param {'source' | 'result'} of */
  #listen(of) {
    if (of === this.#of || !this.#ready.has(of)) return;
    const before = this.#now, running = !before.paused;
    before.pause();
    this.#of = of;
    this.#now.currentTime = before.currentTime;
    if (running) this.#now.play().catch(() => {});
    this.#show();
  }

  #toggle() {
    const player = this.#now;
    if (player.paused) player.play().catch(() => {});
    else player.pause();
    this.#show();
  }

  /** @param {number} seconds */
  #go(seconds) {
    this.#now.currentTime = Math.max(0, Math.min(seconds, this.#seconds));
    this.#show();
  }

  /** Hear a stretch, from just before it. @param {number} i */
  #listenTo(i) {
    const span = this.#sound.spans[i];
    if (!span || !this.#ready.has(this.#of)) return;
    this.#go(span[0] - LEAD);
    this.#now.play().catch(() => {});
  }

  /** The stretch before or after this moment. @param {1 | -1} way */
  #next(way) {
    const at = this.#now.currentTime + LEAD, { spans } = this.#sound;
    const i = way > 0 ? spans.findIndex(([from]) => from > at + 0.05) : spans.findLastIndex(([from]) => from < at - 0.5);
    if (i >= 0) this.#listenTo(i);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const at = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || at.closest('dialog, textarea, select, input, button, a, summary')) return;
    const step = event.shiftKey ? LONG_STEP : STEP;
    /** @type {Record<string, () => void>} */
    const acts = {
      ' ': () => this.#toggle(), o: () => this.#listen(this.#of === 'source' ? 'result' : 'source'), n: () => this.#next(1), p: () => this.#next(-1),
      ArrowLeft: () => this.#go(this.#now.currentTime - step), ArrowRight: () => this.#go(this.#now.currentTime + step),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #tick() {
    if (!this.#now.paused) this.#show();
    this.#frame = requestAnimationFrame(() => this.#tick());
  }

  #show() {
    const player = this.#now, at = player.currentTime, all = this.#seconds;
    this.#play.disabled = this.#seek.disabled = !this.#ready.has(this.#of);
    const running = !player.paused && !player.ended;
    if (this.#play.dataset.running !== String(running)) {
      this.#play.dataset.running = String(running);
      this.#play.replaceChildren(icon(running ? ICONS.pause : ICONS.play));
      this.#play.setAttribute('aria-label', t(running ? 'sound.pause' : 'sound.play'));
    }
    this.#clock.textContent = `${momentText(at)} / ${momentText(all)}`;
    this.#seek.value = String(at);
    this.#seek.setAttribute('aria-valuetext', momentText(at));
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.#choice.querySelectorAll('button'))) {
      button.setAttribute('aria-pressed', String(button.dataset.of === this.#of));
      button.disabled = !this.#ready.has(button.dataset.of);
    }
    for (const box of /** @type {HTMLCollectionOf<HTMLElement>} */ (this.#waves.children)) {
      box.classList.toggle('heard', box.dataset.of === this.#of);
      /** @type {HTMLElement} */ (box.querySelector('.head')).style.left = `${all ? 100 * Math.min(at / all, 1) : 0}%`;
    }
    [...this.#list.children].forEach((row, i) => {
      const [from, to] = this.#sound.spans[i];
      row.classList.toggle('chosen', at >= from && at < to);
    });
  }
}
customElements.define('velum-sound', VelumSound);

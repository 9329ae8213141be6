// @ts-check
/** A video: look through what is hidden in it, correct it, and have it hidden anew. */
import { address, ended, follow, getJson, Problem, request, send, session } from '../api.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import { VelumProgress } from '../parts/progress.mjs';
import { ask } from '../parts/dialog.mjs';
import { VelumComments } from '../parts/comments.mjs';
import { Draft, draftStatus } from '../parts/drafts.mjs';
import { behind, errorDetail, errorNote, errorText, failure, jobProblem } from '../parts/error_text.mjs';
import { keptNote } from '../parts/kept.mjs';
import { saveResult } from '../parts/result.mjs';
import { techniqueField } from '../parts/technique_field.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { History } from '../photo/edits.mjs';
import { VelumApprove } from '../review/queue.mjs';
import { drawnLabels, oneText as named } from '../photo/labels.mjs';
import { remarks } from '../parts/remarks.mjs';
import { isVideo, loadFileTypes } from '../start/file_types.mjs';
import { SOUNDS } from '../start/plan.mjs';
import { zip } from '../start/zip.mjs';
import { left, t } from '../i18n.mjs';
import { PictureZoom } from './picture_zoom.mjs';
import { VelumResult } from './result_view.mjs';
import { VelumTracks } from './track_list.mjs';
import { FrameShots } from './frame_shots.mjs';
import { VelumStage } from './video_canvas.mjs';
import { VelumTimeline } from './timeline.mjs';
import { evenly, frameAt, readTimes } from './frame_times.mjs';
import * as tracks from './tracks.mjs';
import { coco, yolo } from './export_annotations.mjs';
import { hiddenTracks, keysByPlace, placesOfTracks } from '../gallery/job_regions.mjs';
import { mayGroup, peopleNote } from '../gallery/people_note.mjs';
import { VelumGallery } from '../gallery/panel.mjs';

/** @typedef {import('../api.mjs').Job} Job */
/** @typedef {import('../api.mjs').Regions} Regions */
/** @typedef {import('./tracks.mjs').State} State */

const TOOLS = /** @type {const} */ (['switch', 'move', 'draw']);
const TOOL_ICONS = { switch: ICONS.eye, move: ICONS.hand, draw: ICONS.box };
const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4];
/** Doubtful moments within so many seconds are one stop. */
const NEAR_SECONDS = 0.5;

class VelumVideo extends HTMLElement {
  #gone = new AbortController();
  #id = '';
  #tag = '';
  #name = '';
  /** @type {Regions | null} */
  #file = null;
  /** @type {History<State>} */
  #history = new History(/** @type {State} */ ([]));
  #chosen = 0;
  #frames = 1;
  /** @type {tracks.Doubt[]} */
  #doubts = [];
  /** @type {tracks.Doubt[][]} */
  #stops = [];
  /** What doubts, and the choice of another track, were made from. @type {readonly unknown[]} */
  #shown = [];
  /** @type {Draft | null} */
  #draft = null;
  #kept = h('div');
  #comments = /** @type {VelumComments} */ (document.createElement('velum-comments'));
  #result = /** @type {VelumResult} */ (document.createElement('velum-result'));
  #wasShown = false;
  /** Whether the service has corrections that it has not rendered. */
  #unrendered = false;
  /** What is done with the audio: in the result, and in the next one. */
  #audio = { now: 'copy', next: 'copy' };
  /** @type {ReturnType<typeof drawnLabels>} */
  #drawable = { labels: [], techniqueFor: () => undefined };
  #speed = h('select', { 'aria-label': t('video.speed'), onchange: () => { this.#stage.video.playbackRate = Number(this.#speed.value); } }, ...SPEEDS.map((n) => h('option', { value: n, selected: n === 1 }, `${n}×`)));
  #time = h('input', { class: 'video-time', inputMode: 'decimal', placeholder: t('video.goto'), 'aria-label': t('video.goto'), onkeydown: (/** @type {KeyboardEvent} */ event) => { if (event.key === 'Enter') this.#goTo(); } });
  #mute = h('button', { type: 'button', 'aria-pressed': 'false', title: t('video.listen'), 'aria-label': t('video.listen'), onclick: () => this.#listen() }, icon(ICONS.mute));
  #sound = h('select', { 'aria-label': t('sound'), onchange: () => { this.#audio.next = this.#sound.value; this.#edited(); this.#show(); } }, ...SOUNDS.map((name) => h('option', { value: name }, t(`sound.${name}`))));
  /** Tracks that were looked at. @type {Set<number>} */
  #decided = new Set();
  #approve = new VelumApprove();
  #stage = /** @type {VelumStage} */ (document.createElement('velum-stage'));
  // Below all else: what comes late must move nothing away from under a click.
  #note = h('div', { class: 'video-note', 'aria-live': 'polite' });
  #timeline = /** @type {VelumTimeline} */ (document.createElement('velum-timeline'));
  #title = h('h1', {}, '…');
  #actions = h('div', { class: 'row' });
  #state = h('div', { 'aria-live': 'polite' });
  #body = h('div', { class: 'video-body', hidden: true });
  #where = h('output', { class: 'number small video-where' });
  #doubt = h('p', { class: 'small quiet video-doubt', role: 'status' });
  #list = /** @type {VelumTracks} */ (document.createElement('velum-tracks'));
  #count = h('h2');
  #label = h('select', { 'aria-label': t('photo.newlabel') });
  #span = h('select', { 'aria-label': t('video.span') }, h('option', { value: 'follow' }, t('video.span.follow')), ...[0, 1, 2, 5].map((n) => h('option', { value: n }, n ? t('video.span.n', { n }) : t('video.span.0'))));
  #tools = TOOLS.map((tool) => h('button', { type: 'button', 'aria-pressed': String(tool === 'switch'), title: t(`video.tool.${tool}`), 'aria-label': t(`video.tool.${tool}`), onclick: () => this.#use(tool) }, icon(TOOL_ICONS[tool]), h('span', { class: 'word' }, t(`video.tool.${tool}`))));
  #other = h('select', { 'aria-label': t('video.merge.with'), onchange: () => this.#merge() });
  #how = h('div');
  #gallery = new VelumGallery();
  /** @type {PictureZoom | null} */
  #zoom = null;
  #shots = new FrameShots(this.#gone.signal);
  /** @type {Record<string, HTMLButtonElement>} */
  #buttons = {};

  async connectedCallback() {
    this.className = 'wide photo video';
    this.#id = this.getAttribute('job') ?? '';
    this.append(h('div', { class: 'row between' }, h('div', { class: 'photo-title' }, h('a', { href: '#/review', class: 'small' }, t('video.back')), this.#title), this.#kept, this.#actions), this.#state, this.#body);
    addEventListener('keydown', this.#key, { signal: this.#gone.signal });
    try {
      await this.#open();
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#fail(error);
    }
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  /** What was done is kept; only what could not be saved would be lost. */
  async mayLeave() {
    return !this.#draft || await this.#draft.flush() || ask({ title: t('photo.leave'), body: [h('p', {}, t('photo.lost'))], ok: t('photo.leaveok'), cancel: t('photo.stay'), danger: true, careful: true });
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#state.replaceChildren(errorNote(error, error instanceof Problem && error.status === 404 ? t('photo.unknown') : undefined));
  }

  /** @param {Job} job */
  #tell(job) {
    this.#title.textContent = this.#name = job.name;
    this.#kept.replaceChildren(keptNote(job), this.#draft ? draftStatus(this.#draft, this.#gone.signal) : '');
    if (ended(job)) return this.#state.replaceChildren();
    const bar = /** @type {VelumProgress} */ (document.createElement('velum-progress'));
    this.#state.replaceChildren(bar);
    bar.set(job.frames.total ? job.frames.done / job.frames.total : null, [t(`state.${job.state}`), left(job.seconds_left)].filter(Boolean).join(' · '), job.name);
  }

  async #open() {
    const path = `v1/jobs/${encodeURIComponent(this.#id)}`, signal = this.#gone.signal;
    let job = await getJson(path, signal);
    this.#tell(job);
    if (!ended(job)) job = await follow(this.#id, (now) => this.#tell(now), signal);
    if (!job) return this.#fail(jobProblem(null));
    this.#tell(job);
    if (job.state !== 'done') return this.#state.replaceChildren(h('div', { class: 'note bad' }, job.error ? failure(job.error) : t(`state.${job.state}`)));
    await loadFileTypes(signal);
    // Of a film without pictures, its sound is left.
    if (!isVideo(job.name) || (!job.regions && !job.frames.total)) {
      location.replace(`#/jobs/${this.#id}${this.hasAttribute('queue') ? '/queue' : ''}`);
      return;
    }
    await this.#approvable();
    const answer = await request(`${path}/regions`, { signal });
    this.#tag = answer.headers.get('etag') ?? '';
    this.#file = /** @type {Regions} */ (await answer.json());
    this.#frames = tracks.framesIn(this.#file);
    this.#history = new History(tracks.tracksOf(this.#file));
    const report = await getJson(`${path}/report`, signal);
    this.#drawable = drawnLabels(report.rules);
    this.#label.replaceChildren(...this.#drawable.labels.map((label) => h('option', { value: label }, named(label))));
    this.#audio = { now: job.audio, next: job.audio };
    this.#unrendered = job.corrections_pending;
    if (job.source_kept) {
      this.#draft = new Draft(this.#id, signal);
      const kept = await this.#draft.load().catch(() => null);
      if (kept) this.#restore(kept);
      this.#kept.append(draftStatus(this.#draft, signal));
    }
    this.#sound.value = this.#audio.next;
    this.#build(job, report);
    this.#note.before(...peopleNote(report).map((note) => h('div', { class: 'video-note' }, note)));
    if (job.source_kept && await mayGroup(signal)) this.#group();
    this.#show();
    if (job.source_kept) await this.#play(`${path}/source`);
    else this.#note.replaceChildren(h('p', { class: 'note warn' }, t('photo.nosource')));
  }

  /** Have the browser play the source, or what the service makes of it. @param {string} path */
  async #play(path) {
    const { signal } = this.#gone;
    await session();
    const renew = setInterval(() => session().catch(() => {}), 30 * 60_000);
    signal.addEventListener('abort', () => clearInterval(renew));
    if (await this.#plays(path) || signal.aborted) return;
    const message = h('p', { class: 'note', role: 'status' }), shade = h('div', { class: 'video-shade' }, message);
    this.#stage.append(shade);
    const made = path.replace(/source$/, 'preview');
    for (;;) {
      const { state, share, error } = await send('POST', made);
      if (signal.aborted) return;
      if (state === 'ready' && await this.#plays(made)) return shade.remove();
      if (state !== 'making') return this.#stage.replaceChildren(h('div', { class: 'note warn', role: 'alert' }, t('video.cannot'), behind(error ?? '')));
      message.textContent = t('video.making', { done: Math.round(100 * (share ?? 0)) });
      await new Promise((go) => setTimeout(go, 500));
    }
  }

  /** Whether the browser plays it. @param {string} path @returns {Promise<boolean>} */
  async #plays(path) {
    const { video } = this.#stage, signal = this.#gone.signal;
    const times = await readTimes(async (from, to) => {
      const part = await request(path, { signal, headers: { range: `bytes=${from}-${to - 1}` } });
      return part.status === 206 ? part.arrayBuffer() : new ArrayBuffer(0);
    }).catch(() => null);
    if (signal.aborted) return false;
    const playable = new Promise((go) => {
      video.addEventListener('loadeddata', () => go(true), { once: true });
      video.addEventListener('error', () => go(false), { once: true });
    });
    video.src = address(path);
    if (!await playable || !video.videoWidth) return false;
    const exact = times?.length === this.#frames;
    this.#stage.times = exact ? /** @type {number[]} */ (times) : evenly(this.#frames, video.duration);
    this.#note.replaceChildren(exact ? '' : h('p', { class: 'note warn' }, t('video.times')));
    this.#stage.go(this.#stage.frame);
    this.#shots.ahead = video;
    this.#shots.open(address(path), this.#stage.times);
    this.#wasShown = true;
    this.#looked();
    return true;
  }

  /** @param {Job} job @param {any} report */
  #build(job, report) {
    const stage = this.#stage, timeline = this.#timeline;
    stage.sized(report.width, report.height);
    if (job.source_kept) {
      this.#list.shots = timeline.shots = this.#shots;
      this.#list.width = report.width;
      timeline.aspect = report.width / report.height;
    }
    stage.times = evenly(this.#frames, this.#frames / 25);
    /** @param {string} name @param {() => void} act @param {string} [shape] */
    const button = (name, act, shape) => (this.#buttons[name] = h('button', { type: 'button', title: t(`video.${name}.how`), onclick: act }, shape ? icon(shape) : '', t(`video.${name}`)));
    const render = button('render', () => this.#render());
    render.className = 'primary';
    this.#actions.replaceChildren(this.#approve,
      h('button', { type: 'button', onclick: () => saveResult(this.#id, this.#changed ? () => this.#render() : null) }, icon(ICONS.download), t('download')), render);
    /** @param {string} shape @param {string} name @param {() => void} act */
    const step = (shape, name, act) => h('button', { type: 'button', 'aria-label': t(`video.${name}`), title: t(`video.${name}`), onclick: act }, icon(shape));
    const preview = h('input', { type: 'checkbox', onchange: () => { stage.preview = preview.checked; stage.draw(); } });
    const play = step(ICONS.play, 'play', () => this.#playing());
    stage.video.addEventListener('play', () => { play.replaceChildren(icon(ICONS.pause)); });
    stage.video.addEventListener('pause', () => { play.replaceChildren(icon(ICONS.play)); });
    stage.addEventListener('frame', () => this.#moved());
    stage.addEventListener('flip', (event) => this.#toggle(/** @type {CustomEvent<number>} */ (event).detail));
    stage.addEventListener('choose', (event) => this.#choose(/** @type {CustomEvent<number>} */ (event).detail));
    stage.addEventListener('drawn', (event) => this.#drawn(/** @type {CustomEvent<number[]>} */ (event).detail));
    stage.addEventListener('put', (event) => this.#put(/** @type {CustomEvent<number[]>} */ (event).detail));
    timeline.addEventListener('seek', (event) => { stage.video.pause(); stage.go(/** @type {CustomEvent<number>} */ (event).detail); });
    timeline.addEventListener('choose', (event) => this.#choose(/** @type {CustomEvent<number>} */ (event).detail));
    this.#list.addEventListener('flip', (event) => this.#toggle(/** @type {CustomEvent<number>} */ (event).detail));
    this.#list.addEventListener('choose', (event) => {
      const { detail: id } = /** @type {CustomEvent<number>} */ (event), track = this.#history.now.find((other) => other.id === id);
      this.#choose(id);
      if (track) stage.go(tracks.bestOf(track));
    });
    this.#list.addEventListener('right', (event) => {
      for (const id of /** @type {CustomEvent<number[]>} */ (event).detail) this.#decided.add(id);
      this.#right();
    });
    const frame = h('div', { class: 'video-frame', 'data-mode': 'before' }, h('div', { class: 'video-half' }, stage), this.#result);
    this.#zoom = new PictureZoom(frame, stage, [this.#result.video]);
    frame.append(this.#zoom.bar);
    this.#result.follow(`v1/jobs/${this.#id}`, stage);
    this.#result.addEventListener('mode', () => this.#listen(false));
    const legend = ['detected', 'filled', 'manual'].map((kind) => h('span', { class: `legend ${kind}` }, t(`video.kind.${kind}`)));
    this.#body.replaceChildren(
      h('div', { class: 'video-main' },
        h('div', { class: 'row tools' }, h('div', { class: 'row', role: 'group', 'aria-label': t('photo.tools') }, ...this.#tools), this.#label, this.#span, button('undo', () => this.#travel('undo'), ICONS.undo), button('redo', () => this.#travel('redo'), ICONS.redo), h('span', { class: 'gap' }), this.#result.choice),
        frame,
        h('div', { class: 'row video-steps' }, step(ICONS.stepback, 'back.frame', () => stage.go(stage.frame - 1)), play, step(ICONS.stepon, 'forward', () => stage.go(stage.frame + 1)), this.#speed, this.#mute, this.#time, h('span', { class: 'gap' }),
          button('doubt', () => this.#next(1)), button('right', () => this.#right())),
        h('div', { class: 'row video-at' }, this.#where, this.#doubt, h('span', { class: 'gap' }), timeline.zooming), timeline, h('p', { class: 'small quiet row' }, ...legend, h('span', { class: 'video-keys' }, t('video.keys')))),
      h('div', { class: 'panel video-side' }, this.#count, remarks(report.warnings), this.#list,
        h('div', { class: 'row video-edit' }, button('split', () => this.#edit((s, id) => tracks.split(s, id, stage.frame))), button('extend', () => this.#edit((s, id) => tracks.extended(s, id, stage.frame))),
          button('remove', () => this.#edit(tracks.removed), ICONS.trash), this.#other), this.#how,
        h('label', { class: 'field' }, h('span', {}, t('sound')), this.#sound), h('label', { class: 'check' }, preview, t('video.preview')), this.#comments,
        h('details', {}, h('summary', {}, t('video.training')), h('p', { class: 'small quiet' }, t('video.training.what')),
          h('div', { class: 'row' }, h('button', { type: 'button', onclick: () => this.#export('coco') }, 'COCO'), h('button', { type: 'button', onclick: () => this.#export('yolo') }, 'YOLO')))),
      this.#note);
    this.#comments.place = () => ({ frame: stage.frame, name: t('video.frame', { at: stage.frame + 1 }) });
    this.#comments.addEventListener('look', (event) => { stage.video.pause(); stage.go(/** @type {CustomEvent<number>} */ (event).detail); });
    this.#comments.open(this.#id, this.#gone.signal);
    this.#buttons.undo.lastChild?.remove();
    this.#buttons.redo.lastChild?.remove();
    for (const name of ['undo', 'redo']) this.#buttons[name].setAttribute('aria-label', t(`video.${name}`));
    this.#body.hidden = false;
    this.#use('switch');
  }

  /** Offer to decide by person. */
  #group() {
    const gallery = this.#gallery, clock = (/** @type {number} */ frame) => this.#clock(frame).replace(/\.\d+$/, '');
    gallery.jobs = [this.#id];
    gallery.keys = () => keysByPlace(placesOfTracks(this.#history.now));
    gallery.placeOf = ({ from, to }) => `${clock(from)} – ${clock(to)}`;
    gallery.extentOf = (faces) => `${t('gallery.frames', { n: faces.reduce((sum, face) => sum + face.frames, 0) })} · ${clock(Math.min(...faces.map(({ from }) => from)))} – ${clock(Math.max(...faces.map(({ to }) => to)))}`;
    gallery.addEventListener('look', (event) => {
      const { key, from } = /** @type {CustomEvent<import('../gallery/persons.mjs').Face>} */ (event).detail;
      this.#stage.video.pause();
      this.#stage.go(from);
      this.#choose(Number(key));
    });
    gallery.addEventListener('decide', (event) => {
      const { keys, on } = /** @type {CustomEvent<{ keys: string[], on: boolean }>} */ (event).detail, ids = keys.map(Number);
      for (const id of ids) this.#decided.add(id);
      this.#push(ids.reduce((state, id) => tracks.switched(state, id, on), this.#history.now));
    });
    this.#note.before(gallery);
  }

  /** The time of a frame. @param {number} frame */
  #clock(frame) {
    const { times } = this.#stage, at = (times[frame] ?? 0) - times[0];
    return `${Math.floor(at / 60)}:${(at % 60).toFixed(2).padStart(5, '0')}`;
  }

  /** Whether the result lacks something. */
  get #changed() {
    return this.#unrendered || this.#history.changed || this.#audio.next !== this.#audio.now;
  }

  /** Have what was done kept by the service. */
  #edited() {
    const { saved, now } = this.#history, audio = this.#audio.next === this.#audio.now ? {} : { audio: this.#audio.next };
    this.#draft?.set({ ...tracks.editsOf(saved, now), ...audio, decided: [...this.#decided] }, this.#changed);
    this.#looked();
  }

  /** @param {import('../parts/drafts.mjs').Body} kept */
  #restore(kept) {
    if (kept.tracks?.length || kept.removed?.length) this.#history.push(tracks.withEdits(this.#history.now, kept));
    this.#decided = new Set(kept.decided ?? []);
    if (kept.audio) this.#audio.next = kept.audio;
  }

  /** Only what was shown, as it is, may be approved. */
  #looked() {
    this.#approve.disabled = !this.#wasShown || this.#changed;
    this.#approve.title = this.#wasShown ? '' : t('review.notshown');
    if (this.#wasShown) this.#approve.view(this.#id);
  }

  /** Hear the audio of what is seen, or not. @param {boolean} [on] */
  #listen(on = this.#mute.getAttribute('aria-pressed') !== 'true') {
    const { mode, video } = this.#result;
    video.muted = !(on && mode !== 'before');
    this.#stage.video.muted = !(on && mode === 'before');
    this.#mute.setAttribute('aria-pressed', String(on));
    this.#mute.replaceChildren(icon(on ? ICONS.sound : ICONS.mute));
  }

  /** Go to a time as people write it: 12.5, 1:23 or 1:02:03.4, or to the frame 120f. */
  #goTo() {
    const text = this.#time.value.trim().replace(',', '.'), { times } = this.#stage;
    const frame = /^(\d+)\s*[fb]$/i.exec(text);
    const seconds = text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
    if (!text || (!frame && !(seconds >= 0))) return tell(t('video.goto.how'));
    this.#stage.video.pause();
    this.#stage.go(frame ? Number(frame[1]) - 1 : frameAt(times, seconds + times[0]));
    this.#time.value = '';
    this.#time.blur();
  }

  /** Play at another speed, forwards; or go back a second. @param {1 | -1} way */
  #shuttle(way) {
    const { video } = this.#stage;
    if (way < 0) return this.#stage.go(frameAt(this.#stage.times, Math.max(0, video.currentTime - 1)));
    if (video.paused) return this.#playing();
    this.#speed.value = String(SPEEDS[Math.min(SPEEDS.length - 1, SPEEDS.indexOf(Number(this.#speed.value)) + 1)]);
    video.playbackRate = Number(this.#speed.value);
  }

  async #approvable() {
    this.#approve.open = () => this.#history.now.filter(({ id }) => !this.#decided.has(id)).length;
    if (this.hasAttribute('queue')) await this.#approve.renew(this.#id, this.#gone.signal);
  }

  /** The chosen track is right as it is: on to the most doubtful one that nobody has decided, those of one frame last. */
  #right() {
    if (this.#chosen) this.#decided.add(this.#chosen);
    this.#edited();
    const all = this.#list.inOrder, at = all.findIndex(({ id }) => id === this.#chosen);
    const open = [...all.slice(at + 1), ...all.slice(0, at + 1)].filter(({ id }) => !this.#decided.has(id));
    const next = open.find(({ places }) => places.length > 1) ?? open[0];
    if (!next) {
      tell(t('video.alldecided'));
      return this.#show();
    }
    this.#stage.video.pause();
    this.#stage.go(tracks.bestOf(next));
    this.#choose(next.id);
  }

  #playing() {
    const { video } = this.#stage;
    if (video.paused) video.play().catch(() => {});
    else video.pause();
  }

  /** @param {typeof TOOLS[number]} tool */
  #use(tool) {
    this.#stage.tool = tool;
    this.#label.hidden = this.#span.hidden = tool !== 'draw';
    this.#tools.forEach((button, i) => button.setAttribute('aria-pressed', String(TOOLS[i] === tool)));
  }

  /** @param {State} next @param {number} [chosen] */
  #push(next, chosen = this.#chosen) {
    this.#history.push(next);
    this.#chosen = chosen;
    this.#show();
    this.#edited();
  }

  /** @param {(state: State, id: number) => State} edit */
  #edit(edit) {
    const now = this.#history.now, next = edit(now, this.#chosen);
    if (next.length === now.length && next.every((one, i) => one === now[i])) tell(t('video.nothing'));
    else this.#push(next);
  }

  /** @param {number} id */
  #toggle(id) {
    const track = this.#history.now.find((other) => other.id === id);
    if (!track) return;
    this.#decided.add(id);
    this.#push(tracks.switched(this.#history.now, id, !track.on), id);
  }

  /** @param {number} id */
  #choose(id) {
    this.#chosen = id;
    this.#show();
  }

  /** @param {number[]} xyxy */
  async #drawn(xyxy) {
    const { frame } = this.#stage, label = this.#label.value;
    this.#use('move');
    if (this.#span.value !== 'follow') return this.#stay(xyxy, Number(this.#span.value));
    try {
      tell(t('video.following'));
      const { frames } = await send('POST', `v1/jobs/${encodeURIComponent(this.#id)}/follow`, { frame, label, xyxy: xyxy.map(Math.round) });
      const { state, id } = tracks.followed(this.#history.now, label, frame, frames);
      this.#push(this.#hiddenAsPlanned(state, id, label), id);
      tell(t('video.followed', { from: frames[0].index + 1, to: frames[frames.length - 1].index + 1 }));
    } catch (error) {
      tell(t('video.lost', { why: errorText(error) }), 'info', errorDetail(error));
      this.#stay(xyxy, 1, frame);
    }
  }

  /** Have a box stay where it was drawn. @param {number[]} xyxy @param {number} seconds before and after @param {number} [frame] */
  #stay(xyxy, seconds, frame = this.#stage.frame) {
    const { times } = this.#stage;
    const rate = this.#frames / Math.max(0.04, times[times.length - 1] - times[0] || 0.04), reach = Math.round(seconds * rate);
    const { state, id } = tracks.drawn(this.#history.now, {
      label: this.#label.value, at: frame, xyxy, from: Math.max(0, frame - reach), to: Math.min(this.#frames - 1, frame + reach),
      width: this.#file?.width ?? 1, height: this.#file?.height ?? 1,
    });
    this.#push(this.#hiddenAsPlanned(state, id, this.#label.value), id);
  }

  /** A label that the plan does not name is hidden by its technique, which goes with the track. @param {State} state @param {number} id @param {string} label */
  #hiddenAsPlanned(state, id, label) {
    const technique = this.#drawable.techniqueFor(label);
    return technique ? tracks.hiddenBy(state, id, technique) : state;
  }

  /** @param {number[]} xyxy */
  #put(xyxy) {
    this.#push(tracks.put(this.#history.now, this.#chosen, this.#stage.frame, xyxy, this.#file?.width ?? 1, this.#file?.height ?? 1));
  }

  #merge() {
    const other = Number(this.#other.value);
    if (other) this.#edit((state, id) => tracks.merged(state, id, other));
    this.#other.value = '';
  }

  /** @param {'undo' | 'redo'} way */
  #travel(way) {
    this.#history[way]();
    this.#show();
    this.#edited();
  }

  /** @param {1 | -1} way */
  #next(way) {
    const { frame } = this.#stage;
    const stop = way > 0 ? this.#stops.find(([{ at }]) => at > frame) : this.#stops.filter(([{ at }]) => at < frame).pop();
    if (!stop) return tell(t('video.nodoubt'));
    const [found] = stop;
    this.#stage.video.pause();
    this.#chosen = found.id;
    this.#stage.go(found.at);
    this.#show();
    const more = stop.length > 1 ? ` ${t('video.stop.more', { n: stop.length - 1 })}` : '';
    this.#doubt.textContent = `${t('video.stop', { at: this.#stops.indexOf(stop) + 1, all: this.#stops.length })} · ${t(`video.why.${found.why}`, { name: this.#named(found.id), at: found.at + 1 })}${more}`;
  }

  /** @param {number} id */
  #named(id) {
    return `${named(this.#history.now.find((other) => other.id === id)?.label ?? '')} ${id}`;
  }

  #moved() {
    const { frame } = this.#stage;
    this.#where.textContent = t('video.where', { at: frame + 1, all: this.#frames, clock: this.#clock(frame) });
    this.#timeline.place(frame, this.#where.textContent);
    this.#doubt.textContent = '';
    this.#zoom?.center(this.#box);
    if (this.#stage.video.paused) this.#list.follow(frame);
  }

  #show() {
    const { now, canUndo, canRedo } = this.#history, changed = this.#changed;
    if (!now.some(({ id }) => id === this.#chosen)) this.#chosen = 0;
    const { times } = this.#stage, rate = (times.length - 1) / Math.max(0.04, times[times.length - 1] - times[0]);
    if (this.#shown[0] !== now || this.#shown[1] !== times) {
      this.#shown = [now, times];
      this.#doubts = tracks.doubtsOf(now, this.#frames);
      this.#stops = tracks.stopsOf(this.#doubts, Math.max(1, Math.round(rate * NEAR_SECONDS)));
      this.#other.replaceChildren(h('option', { value: '' }, t('video.merge')), ...now.map(({ id, label }) => h('option', { value: id }, `${named(label)} ${id}`)));
      this.#gallery.show(hiddenTracks(now));
    }
    for (const option of this.#other.options) option.hidden = option.disabled = Number(option.value) === this.#chosen && this.#chosen > 0;
    Object.assign(this.#stage, { state: now, chosen: this.#chosen });
    this.#stage.draw();
    this.#timeline.show(now, this.#doubts, this.#frames, this.#chosen);
    this.#list.show(now, this.#chosen, this.#decided);
    const decided = now.filter(({ id }) => this.#decided.has(id)).length;
    const off = now.filter(({ on }) => !on).length;
    this.#count.textContent = [t('video.count', { n: now.length - off }), off ? t('photo.off', { n: off }) : '', decided ? t('video.decided.n', { n: decided }) : ''].filter(Boolean).join(', ');
    const chosen = now.find(({ id }) => id === this.#chosen);
    this.#how.replaceChildren(chosen ? techniqueField(chosen.places[0].region.technique, (technique) => this.#edit((state, id) => tracks.hiddenBy(state, id, technique))) : '');
    this.#zoom?.center(this.#box);
    const { split, extend, remove, undo, redo, render, doubt, right } = this.#buttons;
    right.disabled = !now.length;
    this.#approve.disabled = changed || !this.#wasShown;
    for (const button of [split, extend, remove, this.#other]) button.disabled = !this.#chosen;
    [undo.disabled, redo.disabled, render.disabled, doubt.disabled] = [!canUndo, !canRedo, !changed, !this.#doubts.length];
  }

  /** @param {KeyboardEvent} event */
  #key = (event) => {
    const at = /** @type {HTMLElement} */ (event.target);
    if (!this.#file || at.closest('select, textarea, dialog, input:not([type=checkbox])')) return;
    const { frame } = this.#stage, command = event.ctrlKey || event.metaKey, second = Math.max(1, Math.round(1 / ((this.#stage.times[1] ?? 0.04) - this.#stage.times[0] || 0.04)));
    /** @type {Record<string, () => void>} */
    const keys = command ? { z: () => this.#travel(event.shiftKey ? 'redo' : 'undo'), y: () => this.#travel('redo') } : {
      arrowleft: () => this.#stage.go(frame - (event.shiftKey ? second : 1)), arrowright: () => this.#stage.go(frame + (event.shiftKey ? second : 1)),
      home: () => this.#stage.go(0), end: () => this.#stage.go(this.#frames - 1), n: () => this.#next(1), p: () => this.#next(-1), k: () => (this.#stage.video.paused ? this.#right() : this.#playing()), j: () => this.#shuttle(-1), l: () => this.#shuttle(1),
      o: () => this.#result.use(this.#result.mode === 'before' ? 'after' : 'before'), g: () => this.#time.focus(), z: () => this.#zoom?.toggle(this.#box), '+': () => this.#timeline.zoom(1.5), '-': () => this.#timeline.zoom(1 / 1.5), m: () => this.#listen(),
      x: () => this.#toggle(this.#chosen), r: () => this.#list.rest(), delete: () => this.#chosen && this.#edit(tracks.removed),
      b: () => this.#drawn([0.4, 0.4, 0.6, 0.6].map((share, i) => share * (i % 2 ? this.#file?.height ?? 1 : this.#file?.width ?? 1))),
      ...(at.closest('button, summary, a, input') ? {} : { ' ': () => this.#playing() }),
    };
    const act = event.altKey ? this.#nudge(event) : keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  };

  /** Of the chosen track, in this frame. */
  get #box() {
    const track = this.#history.now.find((other) => other.id === this.#chosen);
    return track && tracks.placeAt(track, this.#stage.frame)?.region.xyxy;
  }

  /** Move the chosen track's box in this frame by keys; with Shift, its lower right corner. @param {KeyboardEvent} event */
  #nudge({ key, shiftKey }) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const box = this.#box;
    const step = Math.max(1, Math.round((this.#file?.width ?? 0) / 200));
    return way && box ? () => this.#put(box.map((edge, i) => (shiftKey && i < 2 ? edge : edge + step * way[i % 2]))) : undefined;
  }

  /** Whether it was made anew with the corrections. @returns {Promise<boolean>} */
  async #render() {
    const file = this.#file, state = this.#history.now, path = `v1/jobs/${this.#id}`;
    if (!file) return false;
    this.#buttons.render.disabled = this.#approve.paused = true;
    let stored = false;
    try {
      await this.#draft?.hold();
      const put = await request(`${path}/regions`, { method: 'PUT', json: tracks.fileOf(file, state), headers: this.#tag ? { 'if-match': this.#tag } : {} });
      this.#tag = put.headers.get('etag') ?? '';
      this.#draft?.stored();
      [this.#history.saved, this.#unrendered, stored] = [state, true, true];
      await send('POST', `${path}/render${this.#audio.next === this.#audio.now ? '' : `?audio=${this.#audio.next}`}`);
      const job = await follow(this.#id, (now) => this.#tell(now), this.#gone.signal);
      stored = false;
      if (!job || job.state !== 'done') throw jobProblem(job);
      this.#tell(job);
      this.#unrendered = this.#approve.paused = false;
      this.#audio = { now: job.audio, next: job.audio };
      this.#tag = (await request(`${path}/regions`, { signal: this.#gone.signal })).headers.get('etag') ?? '';
      await this.#draft?.applied({ decided: [...this.#decided] });
      if (this.#changed) this.#edited();
      await this.#approvable();
      this.#looked();
      this.#result.renew(true);
      tell(t('video.rendered'));
      return true;
    } catch (error) {
      if (this.#gone.signal.aborted) return false;
      this.#draft?.release();
      // Decisions and the choice of sound are no corrections: they are still to be kept.
      if (stored) this.#edited();
      tellError(error, error instanceof Problem && error.status === 412 ? t('photo.others') : undefined);
      return false;
    } finally {
      this.#approve.paused = false;
      this.#show();
    }
  }

  /** @param {'coco' | 'yolo'} kind */
  async #export(kind) {
    if (!this.#file) return;
    const file = tracks.fileOf(this.#file, this.#history.now.filter(({ on }) => on)), stem = this.#name.replace(/\.[^.]*$/, '') || 'video';
    const blob = kind === 'coco' ? new Blob([JSON.stringify(coco(file, stem))], { type: 'application/json' })
      : await zip(yolo(file, stem).map(({ name, text }) => ({ name, blob: new Blob([text]) })));
    const link = h('a', { href: URL.createObjectURL(blob), download: kind === 'coco' ? `${stem}.coco.json` : `${stem}.yolo.zip` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

customElements.define('velum-video', VelumVideo);

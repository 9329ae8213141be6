// @ts-check
/** One job: how far it is, what came of it, and corrections of pictures. */
import { ended, follow, getBlob, getJson, Problem, request, send } from '../api.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import { ask } from '../parts/dialog.mjs';
import { VelumComments } from '../parts/comments.mjs';
import { Draft, draftStatus } from '../parts/drafts.mjs';
import { saveResult } from '../parts/result.mjs';
import { behind, errorNote, failure, jobProblem } from '../parts/error_text.mjs';
import { keptNote } from '../parts/kept.mjs';
import { VelumStrip } from '../parts/strip.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { VelumProgress } from '../parts/progress.mjs';
import { left, t } from '../i18n.mjs';
import { VelumApprove } from '../review/queue.mjs';
import { isVideo, loadFileTypes } from '../start/file_types.mjs';
import { regionsOf, stateOf } from './edits.mjs';
import { VelumDocument } from './document.mjs';
import { VelumEditor } from './editor.mjs';
import { hiddenOnPages, idsByPage, keysByPlace, placesOfPages } from '../gallery/job_regions.mjs';
import { mayGroup, peopleNote } from '../gallery/people_note.mjs';
import { VelumGallery } from '../gallery/panel.mjs';
import { drawnLabels } from './labels.mjs';
import { isSoundReport } from '../sound/spans.mjs';
import { VelumSound } from '../sound/view.mjs';

/** @typedef {import('../api.mjs').Job} Job */
/** @typedef {import('../api.mjs').Regions} Regions */

/** Corrections that nobody goes on with for so long are applied. */
const SOON_MS = 700;

class VelumPhoto extends HTMLElement {
  #gone = new AbortController();
  #id = '';
  #tag = '';
  /** @type {Regions | null} */
  #regions = null;
  /** @type {VelumEditor | null} */
  #editor = null;
  /** @type {Job | null} */
  #job = null;
  #state = h('div', { 'aria-live': 'polite' });
  #body = h('div', { class: 'photo-body' });
  #title = h('h1', {}, '…');
  #actions = h('div', { class: 'row' });
  #approve = new VelumApprove();
  #kept = h('div');
  #strip = /** @type {VelumStrip} */ (document.createElement('velum-strip'));
  #gallery = new VelumGallery();
  #timer = 0;
  #rendering = false;
  /** @type {Draft | null} */
  #draft = null;

  async connectedCallback() {
    this.className = 'wide photo';
    this.#id = this.getAttribute('job') ?? '';
    this.append(h('div', { class: 'row between' }, h('div', { class: 'photo-title' }, this.hasAttribute('queue') ? h('a', { href: '#/review', class: 'small' }, t('video.back')) : h('a', { href: '#/', class: 'small' }, t('photo.back')), this.#title), this.#kept, this.#actions), this.#state, this.#body, this.#strip);
    this.#strip.show(this.#id, this.hasAttribute('queue'));
    try {
      const job = await getJson(`v1/jobs/${encodeURIComponent(this.#id)}`, this.#gone.signal);
      this.#tell(job);
      const end = ended(job) ? job : await follow(this.#id, (now) => this.#tell(now), this.#gone.signal);
      if (end) await this.#finished(end);
      else this.#fail(jobProblem(null));
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#fail(error);
    }
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#gone.abort();
  }

  /** What was done is kept; only what could not be saved would be lost. */
  async mayLeave() {
    return !this.#draft || await this.#draft.flush() || ask({ title: t('photo.leave'), body: [h('p', {}, t('photo.lost'))], ok: t('photo.leaveok'), cancel: t('photo.stay'), danger: true, careful: true });
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#title.textContent = t('photo.cannot');
    this.#state.replaceChildren(errorNote(error, error instanceof Problem && error.status === 404 ? t('photo.unknown') : undefined));
  }

  /** @param {Job} job */
  #tell(job) {
    this.#job = job;
    this.#title.textContent = job.name;
    this.#kept.replaceChildren(keptNote(job));
    if (ended(job)) return this.#state.replaceChildren();
    const bar = /** @type {VelumProgress} */ (document.createElement('velum-progress'));
    const { done, total } = job.frames;
    this.#state.replaceChildren(bar, job.error?.message ? h('div', { class: 'note warn' }, h('p', {}, t('error.retrying')), behind(job.error.message)) : '');
    bar.set(total ? done / total : null, [t(`state.${job.state}`), left(job.seconds_left)].filter(Boolean).join(' · '), job.name);
  }

  /** @param {Job} job */
  async #finished(job) {
    this.#tell(job);
    if (job.state !== 'done') {
      this.#state.replaceChildren(h('div', { class: 'note bad' }, job.error ? failure(job.error) : t(`state.${job.state}`)));
      return;
    }
    const report = await getJson(`v1/jobs/${this.#id}/report`, this.#gone.signal);
    this.#actions.replaceChildren(h('button', { type: 'button', class: this.hasAttribute('queue') ? '' : 'primary', onclick: () => this.#download() }, icon(ICONS.download), t('download')));
    await loadFileTypes(this.#gone.signal);
    if (isSoundReport(report)) return this.#sound(job, report);
    if (isVideo(job.name)) {
      this.#actions.prepend(h('a', { class: 'button', href: `#/review/${this.#id}` }, t('photo.video')));
      this.#state.replaceChildren(h('p', { class: 'note' }, t('photo.isvideo')));
      return;
    }
    this.#actions.prepend(this.#approve);
    if (report.members?.length) return this.#members(job, report);
    await this.#approvable();
    await this.#show(job, report);
  }

  /** An archive or a document, which is looked at and not corrected. @param {Job} job @param {any} report */
  async #members(job, report) {
    const view = /** @type {VelumDocument} */ (document.createElement('velum-document'));
    this.#approve.disabled = true;
    if (this.hasAttribute('queue')) await this.#approve.renew(this.#id, this.#gone.signal);
    view.addEventListener('page', () => {
      this.#approve.disabled = !view.whole;
      this.#approve.title = view.whole ? '' : t('review.notshown');
      if (view.whole) this.#approve.view(this.#id);
    });
    this.#body.replaceChildren(...peopleNote(report), view);
    view.open(`v1/jobs/${this.#id}`, report, job.source_kept);
    const comments = /** @type {VelumComments} */ (document.createElement('velum-comments'));
    view.querySelector('aside')?.append(comments);
    comments.open(this.#id, this.#gone.signal);
  }

  /** A sound file, which is listened to. @param {Job} job @param {any} report */
  async #sound(job, report) {
    const view = /** @type {VelumSound} */ (document.createElement('velum-sound'));
    this.#actions.prepend(this.#approve);
    this.#approve.disabled = true;
    this.#approve.title = t('sound.heardfirst');
    if (this.hasAttribute('queue')) await this.#approve.renew(this.#id, this.#gone.signal);
    view.addEventListener('heard', () => {
      this.#approve.disabled = false;
      this.#approve.title = '';
      this.#approve.view(this.#id);
    });
    this.#body.replaceChildren(view);
    view.open(`v1/jobs/${this.#id}`, report, job.source_kept);
    const comments = /** @type {VelumComments} */ (document.createElement('velum-comments'));
    view.querySelector('aside')?.append(comments);
    comments.open(this.#id, this.#gone.signal);
  }

  async #approvable() {
    this.#approve.disabled = true;
    if (this.hasAttribute('queue')) await this.#approve.renew(this.#id, this.#gone.signal);
    this.#looked();
  }

  /** Only what was shown, all of it and as it is, may be approved. */
  #looked() {
    const editor = this.#editor, whole = editor !== null && editor.seen.size === editor.histories.length;
    // While it renders, the button is still for the result before, which the server refuses to approve.
    const ready = whole && !editor.changed && !this.#rendering;
    this.#approve.disabled = !ready;
    this.#approve.title = whole ? '' : t('review.notshown');
    if (ready) this.#approve.view(this.#id);
  }

  /** @param {Job} job @param {any} report */
  async #show(job, report) {
    const signal = this.#gone.signal;
    const answer = await request(`v1/jobs/${this.#id}/regions`, { signal });
    this.#tag = answer.headers.get('etag') ?? '';
    const regions = this.#regions = /** @type {Regions} */ (await answer.json());
    const frames = regions.frames.length ? regions.frames : [{ index: 0, regions: [] }];
    const draft = this.#draft = job.source_kept ? new Draft(this.#id, signal) : null;
    const kept = await draft?.load().catch(() => null);
    if (signal.aborted) return;
    const editor = /** @type {VelumEditor} */ (document.createElement('velum-editor'));
    this.#editor = editor;
    this.#body.replaceChildren(...peopleNote(report), editor);
    editor.addEventListener('page', () => this.#looked());
    try {
      await editor.open({ pages: frames.map((frame) => frame.regions), drawn: drawnLabels(report.rules), warnings: report.warnings, canCorrect: job.source_kept, show: (page) => this.#pictures(page, frames.length) });
    } catch (error) {
      if (signal.aborted) return;
      this.#editor = null;
      this.#body.replaceChildren();
      return this.#state.replaceChildren(errorNote(error, t('photo.kind')));
    }
    if (job.corrections_pending) editor.stored([]);
    if (kept?.pages) editor.restore(frames.map((_, i) => kept.pages[i] && stateOf(kept.pages[i])));
    editor.appliesItself = this.hasAttribute('queue') && frames.length === 1;
    if (this.hasAttribute('queue')) editor.goOn();
    editor.addEventListener('render', () => this.#render());
    editor.addEventListener('edit', () => this.#edited());
    addEventListener('keydown', (event) => {
      const at = /** @type {HTMLElement} */ (event.target);
      if (at.closest('dialog, textarea, input:not([type=checkbox], [type=range])')) return;
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        // What to do next: apply what was corrected, and once that was seen, approve it.
        if (editor.changed) this.#render();
        else this.#approve.querySelector('button')?.click();
      } else if (event.key === 'c' && !event.ctrlKey && !event.metaKey && !at.closest('select')) editor.switchMode();
    }, { signal });
    if (draft) this.#kept.append(draftStatus(draft, signal));
    this.#looked();
    const comments = /** @type {VelumComments} */ (document.createElement('velum-comments'));
    comments.place = () => (editor.histories.length > 1 ? { frame: editor.page, name: t('photo.page', { at: editor.page + 1, all: editor.histories.length }) } : null);
    comments.addEventListener('look', (event) => editor.turn(/** @type {CustomEvent<number>} */ (event).detail));
    editor.querySelector('aside')?.append(comments);
    comments.open(this.#id, signal);
    const faces = frames.flatMap((frame) => frame.regions.filter(({ points }) => points));
    if (job.source_kept && faces.length > 1 && await mayGroup(signal)) this.#group(editor, frames);
  }

  /** Offer to decide by person. @param {VelumEditor} editor @param {Regions['frames']} frames */
  #group(editor, frames) {
    const gallery = this.#gallery, states = () => editor.histories.map(({ now }) => now);
    gallery.jobs = [this.#id];
    gallery.keys = () => keysByPlace(placesOfPages(states(), frames));
    const pageOf = (/** @type {number} */ index) => frames.findIndex((frame) => frame.index === index);
    gallery.placeOf = ({ from }) => (frames.length > 1 ? t('photo.page', { at: pageOf(from) + 1, all: frames.length }) : t('start.look'));
    gallery.extentOf = (faces) => t('gallery.faces', { n: faces.length });
    gallery.addEventListener('look', async (event) => {
      const [page, id] = /** @type {CustomEvent<import('../gallery/persons.mjs').Face>} */ (event).detail.key.split(' ').map(Number);
      if (editor.page !== page) await editor.turn(page);
      editor.reveal(id);
    });
    gallery.addEventListener('decide', (event) => {
      const { keys, on } = /** @type {CustomEvent<{ keys: string[], on: boolean }>} */ (event).detail;
      editor.switchAll(idsByPage(keys), on);
    });
    gallery.show(hiddenOnPages(states()));
    this.#body.append(gallery);
  }

  #edited() {
    const editor = this.#editor;
    if (!editor) return;
    const pages = Object.fromEntries(editor.histories.flatMap((history, i) => (history.changed ? [[i, regionsOf(history.now)]] : [])));
    this.#draft?.set({ pages }, editor.changed);
    this.#soon();
    this.#gallery.show(hiddenOnPages(editor.histories.map(({ now }) => now)));
    this.#looked();
  }

  /**
   * A page before and after. What the browser cannot show, and pages but the first, the service draws.
   * @param {number} page @param {number} pages @returns {Promise<import('./editor.mjs').Pictures>}
   */
  async #pictures(page, pages) {
    const signal = this.#gone.signal, path = `v1/jobs/${this.#id}`;
    /** @param {'source' | 'result'} of */
    const picture = async (of) => {
      if (pages === 1) {
        const shown = await createImageBitmap(await getBlob(`${path}/${of}`, signal)).catch((error) => { if (error instanceof Problem) throw error; return null; });
        if (shown) return this.#sized(shown, page);
      }
      return this.#sized(await createImageBitmap(await getBlob(`${path}/still?of=${of}&page=${page}`, signal)), page);
    };
    const [after, before] = await Promise.all([picture('result'), this.#job?.source_kept ? picture('source').catch((error) => { if (signal.aborted) throw error; return null; }) : null]);
    return { before, after };
  }

  /** Of the size that regions count in, should the service have made a very large one smaller. @param {ImageBitmap} picture @param {number} page */
  #sized(picture, page) {
    const { width = 0, height = 0 } = this.#regions ?? {};
    const smaller = page === 0 && picture.width < width && Math.abs(picture.width / picture.height - width / height) < 0.01;
    return smaller ? createImageBitmap(picture, { resizeWidth: width, resizeHeight: height }) : picture;
  }

  /** Apply corrections soon after they are made: on the way through the queue, only looking and approving is left to do. */
  #soon() {
    clearTimeout(this.#timer);
    const editor = this.#editor;
    if (!editor?.appliesItself || !editor.changed) return;
    this.#timer = setTimeout(() => { if (this.#rendering || editor.drawing || editor.moving || editor.way.length) this.#soon(); else if (editor.changed) this.#render(true); }, SOON_MS);
  }

  /** With the corrections of this page, which the file may lack. */
  #download() {
    return saveResult(this.#id, this.#editor?.changed ? () => this.#render() : null);
  }

  /** Whether it was made anew with the corrections. @param {boolean} [stays] whether it is corrected further @returns {Promise<boolean>} */
  async #render(stays = false) {
    const editor = this.#editor, regions = this.#regions;
    if (!editor || !regions) return false;
    this.#rendering = editor.busy = true;
    const states = editor.histories.map(({ now }) => now);
    const frames = regions.frames.length ? regions.frames : [{ index: 0, regions: [] }];
    const corrected = { ...regions, frames: frames.map((frame, i) => ({ ...frame, regions: regionsOf(states[i]) })) };
    try {
      await this.#draft?.hold();
      const path = `v1/jobs/${this.#id}`;
      const put = await request(`${path}/regions`, { method: 'PUT', json: corrected, headers: this.#tag ? { 'if-match': this.#tag } : {} });
      this.#tag = put.headers.get('etag') ?? this.#tag;
      this.#regions = corrected;
      this.#draft?.stored();
      editor.stored(states);
      await send('POST', `${path}/render`);
      const job = await follow(this.#id, (now) => this.#tell(now), this.#gone.signal);
      if (!job || job.state !== 'done') throw jobProblem(job);
      this.#tell(job);
      const tag = await request(`${path}/regions`, { method: 'GET' });
      this.#tag = tag.headers.get('etag') ?? '';
      editor.seen.clear();
      await editor.rendered(stays);
      await this.#draft?.applied({ pages: {} });
      if (editor.changed) this.#edited();
      if (this.#draft) this.#kept.append(draftStatus(this.#draft, this.#gone.signal));
      this.#rendering = false;
      await this.#approvable();
      if (!stays) tell(t('photo.rendered'));
      return true;
    } catch (error) {
      if (this.#gone.signal.aborted) return false;
      this.#draft?.release();
      tellError(error, error instanceof Problem && error.status === 412 ? t('photo.others') : undefined);
      return false;
    } finally {
      this.#rendering = editor.busy = false;
    }
  }
}

customElements.define('velum-photo', VelumPhoto);

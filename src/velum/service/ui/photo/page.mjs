// @ts-check
/** One job: how far it is, what came of it, and corrections of pictures. */
import { ended, follow, getBlob, getJson, Problem, request, send } from '../api.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import { ask } from '../parts/dialog.mjs';
import { saveResult } from '../parts/result.mjs';
import { failure, errorText } from '../parts/error_text.mjs';
import { tell } from '../parts/toast.mjs';
import { VelumProgress } from '../parts/progress.mjs';
import { left, t } from '../i18n.mjs';
import { VelumApprove } from '../review/queue.mjs';
import { isVideo, loadFileTypes } from '../start/file_types.mjs';
import { regionsOf } from './edits.mjs';
import { VelumEditor } from './editor.mjs';
import { peopleNote } from '../gallery/people_note.mjs';

/** @typedef {import('../api.mjs').Job} Job */
/** @typedef {import('../api.mjs').Regions} Regions */

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

  async connectedCallback() {
    this.className = 'wide photo';
    this.#id = this.getAttribute('job') ?? '';
    addEventListener('beforeunload', (event) => {
      if (this.#editor?.history.changed) event.preventDefault();
    }, { signal: this.#gone.signal });
    this.append(h('div', { class: 'row between' }, h('div', { class: 'photo-title' }, this.hasAttribute('queue') ? h('a', { href: '#/review', class: 'small' }, t('video.back')) : h('a', { href: '#/', class: 'small' }, t('photo.back')), this.#title), this.#actions), this.#state, this.#body);
    try {
      const job = await getJson(`v1/jobs/${encodeURIComponent(this.#id)}`, this.#gone.signal);
      this.#tell(job);
      const end = ended(job) ? job : await follow(this.#id, (now) => this.#tell(now), this.#gone.signal);
      if (end) await this.#finished(end);
      else this.#fail(t('photo.deleted'));
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#fail(error instanceof Problem && error.status === 404 ? t('photo.unknown') : errorText(error));
    }
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  /** Corrections that were not rendered would be lost. */
  async mayLeave() {
    return !this.#editor?.history.changed || ask({ title: t('photo.leave'), body: [h('p', {}, t('photo.lost'))], ok: t('photo.leaveok'), cancel: t('photo.stay'), danger: true });
  }

  /** @param {string} text */
  #fail(text) {
    this.#title.textContent = t('photo.cannot');
    this.#state.replaceChildren(h('p', { class: 'note bad' }, text));
  }

  /** @param {Job} job */
  #tell(job) {
    this.#job = job;
    this.#title.textContent = job.name;
    if (ended(job)) return this.#state.replaceChildren();
    const bar = /** @type {VelumProgress} */ (document.createElement('velum-progress'));
    const { done, total } = job.frames;
    this.#state.replaceChildren(bar, job.error?.message ? h('p', { class: 'note warn' }, job.error.message) : '');
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
    this.#actions.replaceChildren(h('button', { type: 'button', class: 'primary', onclick: () => this.#download() }, icon(ICONS.download), t('download')));
    await loadFileTypes(this.#gone.signal);
    if (isVideo(job.name)) {
      this.#actions.prepend(h('a', { class: 'button', href: `#/review/${this.#id}` }, t('photo.video')));
      this.#state.replaceChildren(h('p', { class: 'note' }, t('photo.isvideo')));
      return;
    }
    this.#actions.prepend(this.#approve);
    await this.#approvable();
    await this.#show(job, report);
  }

  async #approvable() {
    if (this.hasAttribute('queue')) await this.#approve.renew(this.#id, this.#gone.signal);
  }

  /** @param {Job} job @param {any} report */
  async #show(job, report) {
    const signal = this.#gone.signal;
    /** @param {string} what */
    const picture = async (what) => createImageBitmap(await getBlob(`v1/jobs/${this.#id}/${what}`, signal));
    const [after, before] = await Promise.all([
      picture('result').catch(() => null),
      job.source_kept ? picture('source').catch(() => null) : null,
    ]);
    if (signal.aborted) return;
    const answer = await request(`v1/jobs/${this.#id}/regions`, { signal });
    this.#tag = answer.headers.get('etag') ?? '';
    this.#regions = /** @type {Regions} */ (await answer.json());
    const labels = [...new Set(/** @type {string[]} */ (report.rules).map((rule) => rule.split(':')[0].trim()))];
    if (!after) return this.#state.replaceChildren(h('p', { class: 'note warn' }, t('photo.kind')));
    const editor = /** @type {VelumEditor} */ (document.createElement('velum-editor'));
    this.#editor = editor;
    this.#body.replaceChildren(...peopleNote(report), editor);
    await editor.open({ before, after, regions: this.#regions.frames[0]?.regions ?? [], labels, warnings: report.warnings, pages: this.#regions.frames.length, canCorrect: before !== null });
    editor.addEventListener('render', () => this.#render());
  }

  /** With the corrections of this page, which the file may lack. */
  #download() {
    return saveResult(this.#id, this.#editor?.history.changed ? () => this.#render() : null);
  }

  /** Whether it was made anew with the corrections. @returns {Promise<boolean>} */
  async #render() {
    const editor = this.#editor, regions = this.#regions;
    if (!editor || !regions) return false;
    editor.busy = true;
    const state = editor.history.now;
    const frames = regions.frames.length ? regions.frames : [{ index: 0, regions: [] }];
    const corrected = { ...regions, frames: frames.map((one, i) => (i ? one : { ...one, regions: regionsOf(state) })) };
    try {
      const path = `v1/jobs/${this.#id}`;
      const put = await request(`${path}/regions`, { method: 'PUT', json: corrected, headers: this.#tag ? { 'if-match': this.#tag } : {} });
      this.#tag = put.headers.get('etag') ?? this.#tag;
      await send('POST', `${path}/render`);
      const job = await follow(this.#id, (now) => this.#tell(now), this.#gone.signal);
      if (!job || job.state !== 'done') throw new Error(job?.error?.message ?? t('photo.deleted'));
      this.#tell(job);
      await this.#approvable();
      const result = await createImageBitmap(await getBlob(`${path}/result`, this.#gone.signal));
      const tag = await request(`${path}/regions`, { method: 'GET' });
      this.#tag = tag.headers.get('etag') ?? '';
      this.#regions = corrected;
      await editor.rendered(result, state);
      tell(t('photo.rendered'));
      return true;
    } catch (error) {
      if (this.#gone.signal.aborted) return false;
      tell(error instanceof Problem && error.status === 412 ? t('photo.others') : errorText(error), 'bad');
      return false;
    } finally {
      editor.busy = false;
    }
  }
}

customElements.define('velum-photo', VelumPhoto);

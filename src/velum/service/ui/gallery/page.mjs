// @ts-check
/** The people of several jobs: decided together, and applied to all of them. */
import { follow, getJson, Problem } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { ask } from '../parts/dialog.mjs';
import { Draft, draftStatus } from '../parts/drafts.mjs';
import { errorText, jobProblem } from '../parts/error_text.mjs';
import { renderDraft } from '../parts/result.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { isVideo, loadFileTypes } from '../start/file_types.mjs';
import { t } from '../i18n.mjs';
import { PageRegions, TrackRegions } from './job_regions.mjs';
import { mayGroup } from './people_note.mjs';
import { VelumGallery } from './panel.mjs';

/** @typedef {import('../api.mjs').Job} Job */
/** @typedef {import('./persons.mjs').Face} Face */
/** @typedef {{ job: Job, draft: Draft, regions: PageRegions | TrackRegions }} Entry */

/** Requests at a time. */
const AT_A_TIME = 4;

/** The address of one job. @param {Job} job */
const addressOf = ({ id, name }) => (isVideo(name) ? `#/review/${id}` : `#/jobs/${id}`);

class VelumPeople extends HTMLElement {
  #gone = new AbortController();
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #gallery = new VelumGallery();
  #status = h('span', { class: 'small quiet draft', role: 'status' });
  #left = h('div');
  #apply = h('button', { type: 'button', class: 'primary', disabled: true, onclick: () => this.#render() }, t('gallery.apply.none'));
  #isBusy = false;

  async connectedCallback() {
    this.className = 'stack';
    const ids = [...new Set((this.getAttribute('job') ?? '').split(',').filter(Boolean))], signal = this.#gone.signal;
    this.append(h('div', { class: 'row between' }, h('div', {}, h('a', { href: '#/jobs', class: 'small' }, t('gallery.back')), h('h1', {}, t('gallery.jobs', { n: ids.length }))), this.#status, this.#apply), this.#left);
    try {
      await loadFileTypes(signal);
      if (!await mayGroup(signal)) return this.#say(t('gallery.off'));
      const waiting = [...ids];
      await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
        for (let id = waiting.shift(); id; id = waiting.shift()) await this.#load(id);
      }));
    } catch (error) {
      if (!signal.aborted) this.#say(errorText(error));
      return;
    }
    if (!this.#entries.size) return this.#say(t('gallery.nojobs'));
    this.#open(ids.filter((id) => this.#entries.has(id)));
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  /** What was decided is kept; only what could not be saved would be lost. */
  async mayLeave() {
    const saved = await Promise.all([...this.#entries.values()].map(({ draft }) => draft.flush()));
    return saved.every(Boolean) || ask({ title: t('photo.leave'), body: [h('p', {}, t('photo.lost'))], ok: t('photo.leaveok'), cancel: t('photo.stay'), danger: true, careful: true });
  }

  /** @param {string} text */
  #say(text) {
    this.#left.append(h('p', { class: 'note warn' }, text));
  }

  /** Read a job's regions and draft. What cannot be decided here is named. @param {string} id */
  async #load(id) {
    const path = `v1/jobs/${encodeURIComponent(id)}`, signal = this.#gone.signal;
    try {
      /** @type {Job} */
      const job = await getJson(path, signal);
      if (job.state !== 'done' || !job.regions || !job.source_kept) return this.#say(t('gallery.cannot', { name: job.name, why: t(job.source_kept ? `state.${job.state}` : 'photo.nosource') }));
      const draft = new Draft(id, signal), body = await draft.load(), file = await getJson(`${path}/regions`, signal);
      const regions = isVideo(job.name) ? new TrackRegions(file, body) : new PageRegions(file, body);
      this.#entries.set(id, { job, draft, regions });
      draft.addEventListener('change', () => this.#saved(), { signal });
      draft.addEventListener('conflict', () => this.#left.append(h('p', {}, h('a', { href: addressOf(job) }, job.name), ' ', draftStatus(draft, signal))), { signal });
    } catch (error) {
      if (signal.aborted || !(error instanceof Problem)) throw error;
      this.#say(t('gallery.cannot', { name: id, why: errorText(error) }));
    }
  }

  /** @param {string[]} ids */
  #open(ids) {
    const gallery = this.#gallery, entryOf = (/** @type {string} */ id) => /** @type {Entry} */ (this.#entries.get(id));
    gallery.jobs = ids;
    gallery.title = t('gallery.title.jobs');
    gallery.keys = () => (track) => {
      const key = this.#entries.get(track.job)?.regions.keyOf(track);
      return key === undefined ? undefined : `${track.job} ${key}`;
    };
    gallery.placeOf = ({ job, seconds }) => [entryOf(job).job.name, seconds ? clockOf(seconds) : ''].filter(Boolean).join(' · ');
    gallery.extentOf = (faces) => t('gallery.files', { faces: t('gallery.faces', { n: faces.length }), n: new Set(faces.map(({ job }) => job)).size });
    gallery.addEventListener('look', (event) => { location.hash = addressOf(entryOf(/** @type {CustomEvent<Face>} */ (event).detail.job).job); });
    gallery.addEventListener('decide', (event) => {
      const { keys, on } = /** @type {CustomEvent<{ keys: string[], on: boolean }>} */ (event).detail;
      for (const [id, { draft, regions }] of this.#entries) {
        const own = keys.filter((key) => key.startsWith(`${id} `)).map((key) => key.slice(id.length + 1));
        if (!own.length) continue;
        regions.decide(own, on);
        draft.set(regions.draft, regions.changed);
      }
      this.#show();
    });
    this.append(gallery);
    this.#show();
  }

  #show() {
    const changed = [...this.#entries.values()].filter(({ regions }) => regions.changed).length;
    this.#apply.disabled = this.#isBusy || !changed;
    this.#apply.textContent = changed ? t('gallery.apply', { n: changed }) : t('gallery.apply.none');
    this.#gallery.show(new Map([...this.#entries].flatMap(([id, { regions }]) => [...regions.hidden].map(([key, on]) => /** @type {[string, boolean]} */ ([`${id} ${key}`, on])))));
  }

  /** Say whether all decisions are saved. */
  #saved() {
    const states = new Set([...this.#entries.values()].map(({ draft }) => draft.state));
    const worst = /** @type {const} */ (['lost', 'saving']).find((state) => states.has(state));
    this.#status.textContent = worst ? t(`draft.${worst}`) : '';
  }

  /** Have all files made anew that lack decisions. */
  async #render() {
    const changed = [...this.#entries.values()].filter(({ regions }) => regions.changed), all = changed.length;
    this.#isBusy = true;
    this.#show();
    let done = 0;
    const say = () => { this.#status.textContent = t('gallery.applying', { done, all }); };
    try {
      for (const { job, draft } of changed) {
        if (!await draft.flush()) throw new Problem(0, 'Unsaved', t('draft.lost'));
        await draft.hold();
        await renderDraft(job.id).catch((error) => { draft.release(); throw error; });
        say();
      }
      for (const entry of changed) {
        const end = await follow(entry.job.id, () => {}, this.#gone.signal);
        if (end?.state !== 'done') throw jobProblem(end);
        await entry.draft.applied(entry.regions.applied());
        done += 1;
        say();
      }
      tell(t('gallery.applied', { n: all }));
    } catch (error) {
      if (!this.#gone.signal.aborted) tellError(error);
    } finally {
      this.#isBusy = false;
      this.#show();
    }
  }
}

/** @param {number} seconds */
const clockOf = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

customElements.define('velum-people', VelumPeople);

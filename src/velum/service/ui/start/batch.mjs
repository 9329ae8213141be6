// @ts-check
/** The files of this visit: they stay while other pages are looked at, and are gone when this one is closed. */
import { ended, getBlob, getJson, Problem, send, upload } from '../api.mjs';
import { errorDetail, errorText } from '../parts/error_text.mjs';
import { t } from '../i18n.mjs';
import { hiddenText, tracksIn } from '../photo/labels.mjs';
import { soundOf } from '../sound/spans.mjs';
import { isMedia, isSound, isVideo, refusal } from './file_types.mjs';
import { planOfTopics } from './topics.mjs';
import { apart, zip } from './zip.mjs';

/** @typedef {import('../api.mjs').Job} Job */
/** @typedef {{ mode: 'keep' | 'only', persons: { name: string, photos: File[] }[] }} People who stays visible, or alone is hidden */
/**
 * @typedef {object} Item
 * @property {number} id
 * @property {File} file
 * @property {string} path within the folder it came from
 * @property {'ready' | 'uploading' | Job['state']} state
 * @property {number} sent share of the upload
 * @property {Job | null} job
 * @property {number | null} hidden how many regions were hidden, null where that is not known
 * @property {string} [what] what was hidden, in words
 * @property {string} error
 * @property {string} [detail] what the service says of it
 * @property {AbortController} stop
 * @property {string} [upload] its id, where the file was sent before its job
 * @property {import('./topics.mjs').Topic[]} [topics] of a log, once they were asked for
 * @property {Set<string>} [chosen] those of them that the result has
 */

const AT_A_TIME = 2;
const POLL_MS = 700;

class Batch extends EventTarget {
  /** @type {Item[]} */
  items = [];
  /** Files that were left out, and why. @type {{ path: string, why: string }[]} */
  left = [];
  #next = 1;
  /** @type {Item[]} */
  #queue = [];
  #sending = 0;
  #polling = false;
  #resumed = false;
  /** The plan for a file. @type {(name: string) => object} */
  #plan = () => ({});
  /** @type {People | null} */
  #people = null;
  /** What names the uploaded photos of people in a request. @type {Promise<Record<string, Record<string, string[]>>> | null} */
  #photos = null;

  /**
   * @param {{ file: File, path: string }[]} files
   * @returns {{ path: string, why: string }[]} those that are left out, and why
   */
  add(files) {
    const media = files.filter(({ file }) => isMedia(file.name) || (/^(image|video)\//.test(file.type) && !refusal(file.name)));
    this.left.push(...files.filter((file) => !media.includes(file)).map(({ file, path }) => ({ path, why: refusal(file.name) || 'other' })));
    for (const { file, path } of media) {
      this.items.push({ id: this.#next, file, path, state: 'ready', sent: 0, job: null, hidden: null, error: '', stop: new AbortController() });
      this.#next += 1;
    }
    this.#changed();
    return this.left;
  }

  /** List what is in work from before this page was loaded. */
  async resume() {
    if (this.#resumed) return;
    this.#resumed = true;
    const pages = await Promise.all(['running', 'waiting'].map((state) => getJson(`v1/jobs?state=${state}&limit=100`)));
    const known = new Set(this.items.map(({ job }) => job?.id));
    for (const job of /** @type {Job[]} */ (pages.flatMap(({ jobs }) => jobs))) {
      if (known.has(job.id)) continue;
      this.items.push({ id: this.#next, file: new File([], job.name), path: job.name, state: job.state, sent: 1, job, hidden: null, error: '', stop: new AbortController() });
      this.#next += 1;
    }
    this.#changed();
    this.#poll();
  }

  /** @param {(name: string) => object} plan for each that has not been sent @param {People | null} [people] */
  start(plan, people = null) {
    this.#plan = plan;
    this.#people = people;
    this.#forgetPhotos();
    for (const item of this.items) if (item.state === 'ready') item.state = 'uploading';
    // What takes long must not keep the rest waiting.
    const weight = (/** @type {Item} */ { file }) => file.size * (isVideo(file.name) ? 100 : 1);
    this.#queue = this.items.filter(({ state }) => state === 'uploading').sort((a, b) => weight(a) - weight(b));
    this.#changed();
    this.#sendNext();
  }

  /** @param {Item} item */
  async drop(item) {
    item.stop.abort();
    this.items = this.items.filter((other) => other !== item);
    this.#changed();
    // One from before the page was loaded is only taken off the list: it may be somebody else's.
    if (item.job && item.file.size) await send('DELETE', `v1/jobs/${item.job.id}`).catch(gone);
    else if (item.upload) await send('DELETE', `v1/uploads/${item.upload}`).catch(gone);
  }

  /** Send a log, to learn its topics before its job is handed in. @param {Item} item */
  async learnTopics(item) {
    if (item.topics) return item.topics;
    const { state } = item;
    taken.add(item);
    item.state = 'uploading';
    try {
      item.upload ??= await this.#upload(item);
      item.topics = (await getJson(`v1/uploads/${item.upload}/topics`, item.stop.signal)).topics;
      return item.topics ?? [];
    } catch (error) {
      item.upload = undefined; // it may be gone
      throw error;
    } finally {
      taken.delete(item);
      item.state = state;
      this.#changed();
    }
  }

  /** Have the result of a log these topics and no others. @param {Item} item @param {Set<string>} chosen */
  choose(item, chosen) {
    Object.assign(item, { chosen, state: 'ready', error: '', detail: '', job: null });
    this.#changed();
  }

  /** @param {Item} item */
  async again(item) {
    if (item.job && !item.file.size) {
      // Handed in before the page was loaded: only the server has it.
      Object.assign(item, { state: 'waiting', error: '', job: await send('POST', `v1/jobs/${item.job.id}/retry`) });
      this.#changed();
      return this.#poll();
    }
    Object.assign(item, { state: 'uploading', error: '', sent: 0, job: null, stop: new AbortController() });
    this.#changed();
    this.#sendNext();
  }

  get done() {
    return this.items.filter(({ job }) => job?.state === 'done');
  }

  /** All finished files as one. */
  async zipped() {
    const done = this.done, names = apart(done.map(({ path, job }) => path.slice(0, path.lastIndexOf('/') + 1) + (job?.result_name ?? 'result')));
    const files = [];
    for (const [i, { job }] of done.entries()) files.push({ name: names[i], blob: await getBlob(`v1/jobs/${job?.id}/result`) });
    return zip(files);
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }

  #sendNext() {
    while (this.#sending < AT_A_TIME) {
      const item = [...this.#queue, ...this.items].find((candidate) => candidate.state === 'uploading' && !candidate.job && !taken.has(candidate) && this.items.includes(candidate));
      if (!item) {
        if (!this.#sending) this.#forgetPhotos();
        return;
      }
      taken.add(item);
      this.#sending += 1;
      this.#send(item).finally(() => {
        taken.delete(item);
        this.#sending -= 1;
        this.#sendNext();
      });
    }
  }

  /** @param {Item} item */
  async #send(item) {
    try {
      const id = item.upload ?? await this.#upload(item);
      const { name } = item.file, named = isSound(name) ? {} : await (this.#photos ??= this.#sendPhotos());
      item.job = await send('POST', 'v1/jobs', { upload: id, name, plan: { ...this.#plan(name), ...planOfTopics(item.topics ?? [], item.chosen ?? new Set()) }, ...named });
      item.upload = undefined;
      item.state = /** @type {Job} */ (item.job).state;
      this.#poll();
    } catch (error) {
      if (item.stop.signal.aborted) return;
      item.state = 'failed';
      item.upload = undefined;
      [item.error, item.detail] = [errorText(error), errorDetail(error)];
    }
    this.#changed();
  }

  /** @param {Item} item @returns {Promise<string>} the id of its upload */
  #upload(item) {
    return upload(item.file, (share) => {
      item.sent = share;
      this.#changed();
    }, item.stop.signal);
  }

  /** Upload the photos of people, once for all files. @returns {Promise<Record<string, Record<string, string[]>>>} */
  async #sendPhotos() {
    if (!this.#people?.persons.length) return {};
    /** @type {Record<string, string[]>} */
    const ids = {};
    for (const { name, photos } of this.#people.persons) {
      ids[name] = [];
      for (const photo of photos) ids[name].push(await upload(photo, () => {}, new AbortController().signal));
    }
    return { [`${this.#people.mode}_person`]: ids };
  }

  /** Have the service delete the photos of people: each job has its own copy. */
  #forgetPhotos() {
    const photos = this.#photos;
    this.#photos = null;
    photos?.then((named) => Object.values(named).flatMap((ids) => Object.values(ids).flat()).forEach((id) => send('DELETE', `v1/uploads/${id}`).catch(() => {}))).catch(() => {});
  }

  /** Asks for all jobs at once: browsers hold few connections, and each that follows one job would hold one of them. */
  async #poll() {
    if (this.#polling) return;
    this.#polling = true;
    for (;;) {
      const open = this.items.filter(({ job }) => job && !ended(job));
      if (!open.length) break;
      await new Promise((go) => setTimeout(go, POLL_MS));
      try {
        await this.#look(open);
      } catch (error) {
        if (error instanceof Problem && error.status >= 400 && error.status < 429) break;
      }
    }
    this.#polling = false;
  }

  /** @param {Item[]} open */
  async #look(open) {
    const missing = new Map(open.map((item) => [item.job?.id, item]));
    for (let after = ''; missing.size;) {
      const page = await getJson(`v1/jobs?limit=100${after && `&after=${after}`}`);
      for (const job of page.jobs) {
        const item = missing.get(job.id);
        if (!item) continue;
        missing.delete(job.id);
        item.job = job;
        item.state = job.state;
        item.error = job.error?.message ?? '';
        if (job.state === 'done') await this.#count(item);
      }
      if (!page.after) break;
      after = page.after;
    }
    for (const item of missing.values()) {
      item.job = null;
      item.state = 'failed';
      item.error = t('photo.deleted');
    }
    this.#changed();
  }

  /** @param {Item} item */
  async #count(item) {
    const report = await getJson(`v1/jobs/${item.job?.id}/report`).catch(() => null);
    // A report that could not be read says nothing: what is unknown is not nothing.
    const n = tracksIn(report?.tracks ?? []);
    item.hidden = report && (n || report.hidden?.length || 0);
    if (report?.sound?.length && !report.frames) {
      const { action, spans } = soundOf(report);
      item.hidden = action === 'silence' ? 1 : spans.length;
      item.what = t(`sound.done.${action}`, { n: spans.length });
      return;
    }
    item.what = n ? t('video.count', { n }) : hiddenText((report?.hidden ?? []).map((/** @type {{ label: string }} */ { label }) => label));
  }
}

/** @type {WeakSet<Item>} */
const taken = new WeakSet();

/** @param {unknown} error what is gone already needs no deleting */
function gone(error) {
  if (!(error instanceof Problem && error.status === 404)) throw error;
}

export const batch = new Batch();

/**
 * The files of what was dropped, those in folders too.
 * @param {DataTransfer} data
 * @returns {Promise<{ file: File, path: string }[]>}
 */
export async function dropped(data) {
  const entries = [...data.items].map((entry) => entry.webkitGetAsEntry?.()).filter((entry) => entry !== null && entry !== undefined);
  if (!entries.length) return [...data.files].map((file) => ({ file, path: file.name }));
  /** @type {{ file: File, path: string }[]} */
  const found = [];
  /** @param {FileSystemEntry} entry @returns {Promise<void>} */
  const walk = async (entry) => {
    const path = entry.fullPath.replace(/^\//, '');
    if (entry.isFile) {
      found.push({ file: await new Promise((yes, no) => /** @type {FileSystemFileEntry} */ (entry).file(yes, no)), path });
      return;
    }
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const some = await new Promise((yes, no) => reader.readEntries(yes, no));
      if (!some.length) return;
      for (const child of some) await walk(child);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

// @ts-check
/** The files of this visit: they stay while other pages are looked at, and are gone when this one is closed. */
import { ended, getBlob, getJson, Problem, send, upload } from '../api.mjs';
import { t } from '../i18n.mjs';
import { isMedia } from './file_types.mjs';
import { apart, zip } from './zip.mjs';

/** @typedef {import('../api.mjs').Job} Job */
/**
 * @typedef {object} Item
 * @property {number} id
 * @property {File} file
 * @property {string} path within the folder it came from
 * @property {'ready' | 'uploading' | Job['state']} state
 * @property {number} sent share of the upload
 * @property {Job | null} job
 * @property {number | null} hidden how many regions were hidden, null where that is not known
 * @property {string} error
 * @property {AbortController} stop
 */

const AT_A_TIME = 2;
const POLL_MS = 700;

class Batch extends EventTarget {
  /** @type {Item[]} */
  items = [];
  #next = 1;
  #sending = 0;
  #polling = false;
  /** @type {object} */
  #plan = {};

  /**
   * @param {{ file: File, path: string }[]} files
   * @returns {number} of how many nothing is known what to do with
   */
  add(files) {
    const media = files.filter(({ file }) => isMedia(file.name) || /^(image|video)\//.test(file.type));
    for (const { file, path } of media) {
      this.items.push({ id: this.#next, file, path, state: 'ready', sent: 0, job: null, hidden: null, error: '', stop: new AbortController() });
      this.#next += 1;
    }
    this.#changed();
    return files.length - media.length;
  }

  /** @param {object} plan for all that have not been sent */
  start(plan) {
    this.#plan = plan;
    for (const item of this.items) if (item.state === 'ready') item.state = 'uploading';
    this.#changed();
    this.#sendNext();
  }

  /** @param {Item} item */
  async drop(item) {
    item.stop.abort();
    this.items = this.items.filter((other) => other !== item);
    this.#changed();
    if (item.job) await send('DELETE', `v1/jobs/${item.job.id}`).catch(gone);
  }

  /** @param {Item} item */
  again(item) {
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
      const item = this.items.find((candidate) => candidate.state === 'uploading' && !candidate.job && !taken.has(candidate));
      if (!item) return;
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
      const id = await upload(item.file, (share) => {
        item.sent = share;
        this.#changed();
      }, item.stop.signal);
      item.job = await send('POST', 'v1/jobs', { upload: id, name: item.file.name, plan: this.#plan });
      item.state = /** @type {Job} */ (item.job).state;
      this.#poll();
    } catch (error) {
      if (item.stop.signal.aborted) return;
      item.state = 'failed';
      item.error = error instanceof Problem && error.status === 0 ? t('failed.network') : error instanceof Error ? error.message : String(error);
    }
    this.#changed();
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
    item.hidden = report && (report.tracks?.length || report.hidden?.length || 0);
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

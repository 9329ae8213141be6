// @ts-check
/** Small pictures of jobs: the result, and the original while the pointer is over it or a key has led to the link beside it. Fetched when they come into view. */
import { request } from '../api.mjs';
import { lengthText } from '../i18n.mjs';
import { h, icon, ICONS, size } from './dom.mjs';

const AT_A_TIME = 3;
const SIDE = 320;
const KEPT = 600;

/** @typedef {import('../api.mjs').Job} Job */

/** @typedef {{ src: string, seconds: number }} Picture `seconds`: of a video, else 0 */

/** Pictures, by job and rendering. @type {Map<string, Promise<Picture>>} */
const known = new Map();
/** @type {(() => void)[]} */
const waiting = [];
let busy = 0;

/** @param {string} path @param {AbortSignal} signal when nobody wants it any more @returns {Promise<Picture>} */
async function fetched(path, signal) {
  while (busy >= AT_A_TIME) await new Promise((go) => waiting.push(() => go(null)));
  busy += 1;
  try {
    signal.throwIfAborted();
    const answer = await request(path, { signal });
    return { src: URL.createObjectURL(await answer.blob()), seconds: Number(answer.headers.get('x-velum-seconds') ?? 0) };
  } finally {
    busy -= 1;
    waiting.shift()?.();
  }
}

/** @param {Job} job @param {'source' | 'result'} of @param {AbortSignal} signal */
function pictureOf(job, of, signal) {
  const name = `${job.id} ${of} ${job.ended}`;
  let picture = known.get(name);
  if (!picture) {
    known.set(name, picture = fetched(`v1/jobs/${job.id}/still?of=${of}&side=${SIDE}`, signal));
    picture.catch(() => known.delete(name));
    const [oldest] = known.keys();
    if (known.size > KEPT) {
      known.get(oldest)?.then(({ src }) => URL.revokeObjectURL(src)).catch(() => {});
      known.delete(oldest);
    }
  }
  return picture;
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) /** @type {VelumThumbnail} */ (target).load();
}, { rootMargin: '200px' });

export class VelumThumbnail extends HTMLElement {
  /** @type {Job | null} */
  job = null;
  #gone = new AbortController();
  #image = h('img', { alt: '', hidden: true, draggable: false });

  connectedCallback() {
    if (!this.firstChild) this.append(icon(ICONS.box), this.#image);
    this.#gone = new AbortController();
    if (this.job?.result) seen.observe(this);
    const { signal } = this.#gone;
    this.addEventListener('pointerenter', () => { if (this.job?.source_kept) this.#show('source'); }, { signal });
    this.addEventListener('pointerleave', () => this.#show('result'), { signal });
    const row = this.closest('tr');
    row?.addEventListener('focusin', ({ target }) => { if (this.job?.source_kept && /** @type {Element} */ (target).matches('a:focus-visible')) this.#show('source'); }, { signal });
    row?.addEventListener('focusout', () => { if (this.classList.contains('original')) this.#show('result'); }, { signal });
  }

  disconnectedCallback() {
    seen.unobserve(this);
    this.#gone.abort();
  }

  load() {
    seen.unobserve(this);
    this.#show('result');
    // With it: an observer of its own for each size is slow in long lists.
    /** @type {VelumSize | null | undefined} */ (this.closest('tr')?.querySelector('velum-size'))?.load();
  }

  /** @param {'source' | 'result'} of */
  async #show(of) {
    const { job } = this;
    if (!job?.result) return;
    try {
      const { src, seconds } = await pictureOf(job, of, this.#gone.signal);
      this.#image.src = src;
      if (seconds) this.dataset.length = lengthText(seconds);
      this.#image.hidden = false;
      this.classList.toggle('original', of === 'source');
    } catch {
      // A picture that cannot be shown is no more than an empty frame here; the job's own page says why.
    }
  }
}
customElements.define('velum-thumbnail', VelumThumbnail);

/** @param {Job} job */
export function thumbnail(job) {
  const made = /** @type {VelumThumbnail} */ (document.createElement('velum-thumbnail'));
  made.job = job;
  return made;
}

/** Sizes of results, by job and rendering. @type {Map<string, Promise<string>>} */
const sizes = new Map();

/** How large the result of a job is; asked for when the thumbnail in its row comes into view. */
class VelumSize extends HTMLElement {
  /** @type {Job | null} */
  job = null;

  async load() {
    if (!this.job?.result || this.firstChild) return;
    const { id = '', ended = 0 } = this.job ?? {}, name = `${id} ${ended}`;
    const known = sizes.get(name) ?? request(`v1/jobs/${id}/result`, { method: 'HEAD' }).then((answer) => size(Number(answer.headers.get('content-length'))));
    sizes.set(name, known);
    // Without an answer the list says no size; it says all else.
    this.textContent = await known.then((text) => `· ${text}`, () => { sizes.delete(name); return ''; });
  }
}
customElements.define('velum-size', VelumSize);

/** @param {Job} job */
export function fileSize(job) {
  const made = /** @type {VelumSize} */ (document.createElement('velum-size'));
  made.className = 'number';
  made.job = job;
  return made;
}

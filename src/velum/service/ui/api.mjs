// @ts-check
/** All that is asked of the service. Addresses are relative to the page, so it may lie under any path. */

/**
 * @typedef {{ label: string, xyxy: number[], score?: number, found?: string, track?: number, mask_runs?: number[],
 *   technique?: string, off?: boolean, points?: number[][] }} Region
 * @typedef {{ format: string, width: number, height: number, sha256?: string | null, models?: object[],
 *   frames: { index: number, regions: Region[] }[] }} Regions
 * @typedef {{ id: string, state: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled' | 'dead', name: string,
 *   submitted: number, started: number | null, ended: number | null, frames: { done: number, total: number | null },
 *   fps: number | null, seconds_left: number | null, error: { code: string, message: string | null } | null,
 *   result: boolean, result_name: string | null, regions: boolean,
 *   corrections_pending: boolean, source_kept: boolean, source_until: number | null, result_until: number | null,
 *   drafted: number | null, audio: 'copy' | 'drop' | 'silence' | 'speech-mute' | 'voice', owner: string, bytes: number | null }} Job
 */

/** What the service refused, in its own words. */
export class Problem extends Error {
  /** @param {number} status @param {string} code @param {string} detail @param {Record<string, any>} [body] */
  constructor(status, code, detail, body = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.body = body;
  }
}

let key = globalThis.sessionStorage?.getItem('velum-key') ?? '';
/** @type {((refused: boolean) => Promise<string | null>) | null} */
let asker = null;
/** @type {Promise<string | null> | null} */
let asking = null;

/** @param {(refused: boolean) => Promise<string | null>} ask what shows the field for the key */
export function onKeyWanted(ask) {
  asker = ask;
}

/**
 * Take a key; `keep` keeps it until this tab is closed, otherwise it is gone with the page.
 * @param {string} given
 * @param {boolean} [keep]
 */
export function useKey(given, keep = false) {
  key = given;
  if (keep && given) sessionStorage.setItem('velum-key', given);
  else sessionStorage.removeItem('velum-key');
}

/** @param {string} path begins without a slash */
export const address = (path) => new URL(path, document.baseURI).href;

/** @returns {Record<string, string>} */
const credentials = () => (key ? { authorization: `Bearer ${key}` } : {});

/** @param {number} status @param {string} text @param {string} kind */
function problem(status, text, kind) {
  /** @type {Record<string, any>} */
  let body = {};
  if (kind.includes('json')) {
    try {
      body = JSON.parse(text);
    } catch {
      body = {};
    }
  }
  return new Problem(status, body.code ?? '', body.detail ?? body.title ?? `HTTP ${status}`, body);
}

/** Whether the service answers: `lost` when it stops, `back` when it answers again. */
export const connection = new EventTarget();
let isLost = false;
const LOOK_MS = 2000;

/** @param {boolean} lost */
function noteConnection(lost) {
  if (lost === isLost) return;
  isLost = lost;
  connection.dispatchEvent(new Event(lost ? 'lost' : 'back'));
}

/** Wait until the service answers again. @param {AbortSignal} [signal] */
async function awaitService(signal) {
  for (;;) {
    await new Promise((go) => setTimeout(go, LOOK_MS));
    if (signal?.aborted) throw new DOMException('', 'AbortError');
    const answer = await fetch(address(''), { method: 'HEAD', cache: 'no-store' }).catch(() => null);
    if (answer && answer.status < 500) return noteConnection(false);
  }
}

/** @param {boolean} refused */
async function wanted(refused) {
  asking ??= asker ? asker(refused).finally(() => { asking = null; }) : Promise.resolve(null);
  return asking;
}

/**
 * Send a request. Throws `Problem` for what is refused, and for a service that cannot be reached (status 0); what only
 * asks waits until the service is back, and asks again.
 * @param {string} path
 * @param {{ method?: string, json?: any, body?: BodyInit, headers?: Record<string, string>, signal?: AbortSignal }} [what]
 * @returns {Promise<Response>}
 */
export async function request(path, { method = 'GET', json, body, headers = {}, signal } = {}) {
  for (let tries = 0; ; tries += 1) {
    const used = key;
    /** @type {Response} */
    let answer;
    try {
      answer = await fetch(address(path), {
        method, signal, body: json === undefined ? body : JSON.stringify(json), credentials: 'same-origin',
        headers: { ...(json === undefined ? {} : { 'content-type': 'application/json' }), ...credentials(), ...headers },
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      noteConnection(true);
      // Where the service answers others, it is this request that fails.
      if (method !== 'GET' || tries >= 2) {
        awaitService().catch(() => {});
        throw new Problem(0, 'Unreachable', String(error));
      }
      await awaitService(signal);
      continue;
    }
    noteConnection(false);
    if (answer.ok || answer.status === 304) return answer;
    if (answer.status === 401 && (key !== used || await wanted(used !== ''))) continue;
    throw problem(answer.status, await answer.text(), answer.headers.get('content-type') ?? '');
  }
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export const getJson = async (path, signal) => (await request(path, { signal })).json();

/** @param {string} path @param {AbortSignal} [signal] */
export const getBlob = async (path, signal) => (await request(path, { signal })).blob();

/** @param {string} method @param {string} path @param {any} [json] @param {Record<string, string>} [headers] */
export async function send(method, path, json, headers) {
  const answer = await request(path, { method, json, headers });
  return answer.status === 204 ? null : answer.json();
}

const TRIES = 6;

/**
 * Send a file, going on where it broke off; returns the id of the upload.
 * @param {Blob} file
 * @param {(share: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export async function upload(file, onProgress, signal) {
  const { id } = await send('POST', 'v1/uploads', { size: file.size });
  let offset = 0;
  for (let tries = 0; ;) {
    try {
      await put(`v1/uploads/${id}`, file.slice(offset), offset, (sent) => onProgress((offset + sent) / (file.size || 1)), signal);
      return id;
    } catch (error) {
      const again = error instanceof Problem && [0, 409, 429, 503].includes(error.status);
      if (signal.aborted || !again || ++tries >= TRIES) throw error;
      await new Promise((go) => setTimeout(go, 300 * 2 ** tries));
      const at = await request(`v1/uploads/${id}`, { method: 'HEAD', signal });
      offset = Number(at.headers.get('upload-offset') ?? 0);
    }
  }
}

/**
 * @param {string} path @param {Blob} blob @param {number} offset @param {(sent: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function put(path, blob, offset, onProgress, signal) {
  // Only this older interface tells how much of a body has been sent.
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    const stop = () => sending.abort();
    sending.open('PUT', address(path));
    sending.setRequestHeader('content-type', 'application/octet-stream');
    sending.setRequestHeader('upload-offset', String(offset));
    for (const [name, value] of Object.entries(credentials())) sending.setRequestHeader(name, value);
    sending.upload.addEventListener('progress', (event) => onProgress(event.loaded));
    sending.addEventListener('load', () => {
      if (sending.status < 300) resolve();
      else reject(problem(sending.status, sending.responseText, sending.getResponseHeader('content-type') ?? ''));
    });
    sending.addEventListener('error', () => reject(new Problem(0, 'Unreachable', '')));
    sending.addEventListener('abort', () => reject(new DOMException('', 'AbortError')));
    signal.addEventListener('abort', stop);
    sending.addEventListener('loadend', () => signal.removeEventListener('abort', stop));
    sending.send(blob);
  });
}

/**
 * Follow a job to its end, which is returned; null when it was deleted.
 * @param {string} id
 * @param {(job: Job) => void} onJob
 * @param {AbortSignal} signal
 * @returns {Promise<Job | null>}
 */
export async function follow(id, onJob, signal) {
  for (;;) {
    try {
      const answer = await request(`v1/jobs/${id}/events`, { signal });
      for await (const { event, data } of events(answer)) {
        if (event === 'deleted') return null;
        const job = JSON.parse(data);
        onJob(job);
        if (event === 'end') return job;
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && ![0, 429, 502, 503, 504].includes(error.status))) throw error;
    }
    await new Promise((go) => setTimeout(go, 1000));
    if (signal.aborted) throw new DOMException('', 'AbortError');
    const job = await getJson(`v1/jobs/${id}`, signal).catch((error) => {
      if (error instanceof Problem && error.status === 404) return null;
      return undefined;
    });
    if (job === null) return null;
    if (job) onJob(job);
    if (job && ended(job)) return job;
  }
}

/** @param {Job} job */
export const ended = (job) => job.state !== 'waiting' && job.state !== 'running';

/** @param {Response} answer @returns {AsyncGenerator<{ event: string, data: string }>} */
async function* events(answer) {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      held += value;
      const whole = held.split(/\r?\n\r?\n/);
      held = whole.pop() ?? '';
      for (const text of whole) {
        const one = parseEvent(text);
        if (one) yield one;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Read one server-sent event; null for a comment.
 * @param {string} text
 */
export function parseEvent(text) {
  let event = 'message';
  const data = [];
  for (const line of text.split(/\r?\n/)) {
    const [name, ...rest] = line.split(':');
    const value = rest.join(':').replace(/^ /, '');
    if (name === 'event') event = value;
    else if (name === 'data') data.push(value);
  }
  return data.length ? { event, data: data.join('\n') } : null;
}

/** Have players and links be let in for an hour, which carry no key. */
export async function session() {
  if (key) await send('POST', 'v1/session');
}

/**
 * Have the browser save what an address gives.
 * @param {string} path
 * @param {string} name
 */
export async function save(path, name) {
  await session();
  const link = document.createElement('a');
  link.href = address(path);
  link.download = name;
  link.click();
}

/**
 * What metrics of the service, text for Prometheus, say of jobs (those that wait, and how many seconds the first of them has
 * waited) and of the least free bytes of any folder; null for what they do not count.
 * @param {string} text
 */
export function metricsOf(text) {
  const values = new Map([...text.matchAll(/^([a-z_]+(?:\{[^}]*\})?) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]));
  const jobs = (/** @type {string} */ state) => values.get(`velum_jobs{state="${state}"}`) ?? 0;
  const free = [...values].flatMap(([name, value]) => (name.startsWith('velum_free_bytes{') ? [value] : []));
  return { jobs: values.has('velum_jobs{state="waiting"}') ? { waiting: jobs('waiting'), running: jobs('running'), failed: jobs('failed') + jobs('dead'), wait: values.get('velum_jobs_longest_wait_seconds') ?? 0 } : null, free: free.length ? Math.min(...free) : null };
}

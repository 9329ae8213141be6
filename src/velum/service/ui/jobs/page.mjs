// @ts-check
/** All jobs: how far they are, and what can be done with each. */
import { ended, getJson, save, send } from '../api.mjs';
import { ask } from '../parts/dialog.mjs';
import { isVideo } from '../start/kinds.mjs';
import { h } from '../parts/dom.mjs';
import '../parts/progress.mjs';
import { tell } from '../parts/toast.mjs';
import { language, left, t } from '../texts.mjs';

/** @typedef {import('../api.mjs').Job} Job */
/** @typedef {import('../parts/progress.mjs').VelumProgress} VelumProgress */

const STATES = ['waiting', 'running', 'done', 'failed', 'cancelled', 'dead'];
const POLL_MS = 1000;
const CALM_MS = 5000;
const PAGE = 50;
const TONES = { done: 'good', failed: 'bad', dead: 'bad', cancelled: 'warn' };

const when = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' });

/** @param {Job} job */
export function share(job) {
  return job.frames.total ? Math.min(1, job.frames.done / job.frames.total) : null;
}

class VelumJobs extends HTMLElement {
  #filter = h('select', { name: 'state', onchange: () => this.#load() },
    h('option', { value: '' }, t('jobs.all')), ...STATES.map((one) => h('option', { value: one }, t(`state.${one}`))));
  #rows = h('ul', { class: 'files all-jobs', 'aria-label': t('nav.jobs') });
  #more = h('button', { hidden: true, onclick: () => this.#next() }, t('jobs.more'));
  #empty = h('section', { class: 'empty', hidden: true });
  /** @type {Job[]} */
  #jobs = [];
  /** @type {string | null} */
  #after = null;
  #timer = 0;
  /** @type {Map<string, { job: string, row: HTMLLIElement }>} */
  #drawn = new Map();

  connectedCallback() {
    this.append(
      h('div', { class: 'row between' }, h('h1', {}, t('nav.jobs')),
        h('label', { class: 'row nowrap' }, h('span', { class: 'quiet' }, t('jobs.show')), this.#filter)),
      this.#rows, this.#empty, h('div', { class: 'row', id: 'more' }, this.#more));
    this.#load();
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
  }

  async #load() {
    clearTimeout(this.#timer);
    const chosen = this.#filter.value;
    const page = await this.#asked('').catch((error) => tell(error.message || t('failed.network'), 'bad'));
    if (!this.isConnected || chosen !== this.#filter.value) return;
    if (page) {
      const known = new Set(page.jobs.map((/** @type {Job} */ one) => one.id));
      // Pages that were asked for stay; only the first is asked for again.
      const rest = this.#jobs.length > PAGE ? this.#jobs.slice(PAGE).filter(({ id }) => !known.has(id)) : [];
      this.#jobs = [...page.jobs, ...rest.filter((one) => !chosen || one.state === chosen)];
      if (!rest.length) this.#after = page.after;
      this.#draw();
    }
    const busy = this.#jobs.some((one) => !ended(one));
    this.#timer = setTimeout(() => this.#load(), busy ? POLL_MS : CALM_MS);
  }

  async #next() {
    const page = await this.#asked(`&after=${this.#after}`);
    this.#jobs.push(...page.jobs);
    this.#after = page.after;
    this.#draw();
  }

  /** @param {string} more @returns {Promise<{ jobs: Job[], after: string | null }>} */
  #asked(more) {
    const state = this.#filter.value;
    return getJson(`v1/jobs?limit=${PAGE}${state && `&state=${state}`}${more}`);
  }

  #draw() {
    const drawn = new Map();
    for (const job of this.#jobs) {
      const text = JSON.stringify(job), before = this.#drawn.get(job.id);
      drawn.set(job.id, before?.job === text ? before : { job: text, row: this.#row(job) });
    }
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.key;
    const rows = [...drawn.values()].map(({ row }) => row);
    if (rows.length !== this.#rows.children.length || rows.some((row, i) => row !== this.#rows.children[i])) {
      this.#rows.replaceChildren(...rows);
      if (focused) /** @type {HTMLElement | null} */ (this.querySelector(`[data-key="${focused}"]`))?.focus();
    }
    this.#drawn = drawn;
    this.#rows.hidden = !rows.length;
    this.#more.hidden = this.#after === null;
    this.#empty.hidden = rows.length > 0;
    this.#empty.replaceChildren(
      h('h2', {}, t(this.#filter.value ? 'jobs.none.state' : 'jobs.none')),
      h('p', { class: 'quiet' }, t('jobs.none.why')), h('a', { class: 'button primary', href: '#/' }, t('nav.start')));
  }

  /** @param {Job} job */
  #row(job) {
    const progress = /** @type {VelumProgress} */ (document.createElement('velum-progress'));
    if (job.state === 'running') progress.set(share(job), left(job.seconds_left), job.name);
    const tone = /** @type {Record<string, string>} */ (TONES)[job.state] ?? '';
    const why = job.error && job.state !== 'done' ? h('p', { class: 'small bad' }, job.error.message ?? job.error.code) : null;
    return h('li', {},
      h('div', { class: 'file-name' }, h('span', { title: job.name }, job.name),
        h('span', { class: 'quiet small' }, when.format(job.submitted * 1000))),
      h('div', {}, h('span', { class: `badge ${tone}` }, t(`state.${job.state}`)), job.state === 'running' ? progress : null, why),
      h('div', { class: 'row end' }, ...this.#actions(job)));
  }

  /** @param {Job} job */
  #actions(job) {
    /** @type {[string, () => void, string][]} */
    const actions = [];
    if (job.state === 'done' && job.result) {
      actions.push(['open', () => { location.hash = `#/${isVideo(job.name) ? 'review' : 'jobs'}/${job.id}`; }, '']);
      actions.push(['download', () => save(`v1/jobs/${job.id}/result`, job.result_name ?? 'result'), '']);
    }
    if (!ended(job)) actions.push(['cancel', () => this.#done(job, 'POST', '/cancel'), '']);
    if (ended(job) && job.state !== 'done' && job.source_kept) actions.push(['retry', () => this.#done(job, 'POST', '/retry'), '']);
    actions.push(['delete', () => this.#remove(job), 'danger']);
    return actions.map(([name, onclick, look]) => h('button', {
      class: look || null, onclick, 'data-key': `${name}-${job.id}`, 'aria-label': t(`jobs.${name}.name`, { name: job.name }),
    }, t(`jobs.${name}`)));
  }

  /** @param {Job} job @param {string} method @param {string} what */
  async #done(job, method, what) {
    await send(method, `v1/jobs/${job.id}${what}`);
    await this.#load();
  }

  /** @param {Job} job */
  async #remove(job) {
    const body = [h('p', {}, t('jobs.delete.why', { name: job.name }))];
    if (!await ask({ title: t('jobs.delete.title'), body, ok: t('delete') })) return;
    await this.#done(job, 'DELETE', '');
  }
}
customElements.define('velum-jobs', VelumJobs);

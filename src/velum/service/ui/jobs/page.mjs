// @ts-check
/** All jobs: how far they are, and what can be done with them. */
import { ended, getJson, send } from '../api.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import { ask } from '../parts/dialog.mjs';
import { VelumProgress } from '../parts/progress.mjs';
import { saveResult } from '../parts/result.mjs';
import { errorText, failure } from '../parts/error_text.mjs';
import { keptText } from '../parts/kept.mjs';
import { mayGroup } from '../gallery/people_note.mjs';
import { kindOf } from '../parts/kind.mjs';
import { layoutChoice } from '../parts/layout.mjs';
import { fileSize, thumbnail } from '../parts/thumbnail.mjs';
import { tellError } from '../parts/toast.mjs';
import { isVideo, loadFileTypes } from '../start/file_types.mjs';
import { language, left, t } from '../i18n.mjs';
import { VelumSelection } from './selection.mjs';

/** @typedef {import('../api.mjs').Job} Job */

const STATES = /** @type {const} */ (['waiting', 'running', 'done', 'failed', 'cancelled', 'dead']);
const LOOK_MS = 1500;
const REST_MS = 8000;
const PAGE = 50;
const MOST_AT_ONCE = 1000;
/** Rows of a group: whole rows of a grid of up to six columns. */
const GROUP = 60;

/** @type {Record<Job['state'], string>} */
const BADGE = { waiting: '', running: 'good', done: 'good', failed: 'bad', cancelled: '', dead: 'bad' };

/** @param {number} seconds of the epoch */
export const moment = (seconds) => new Date(seconds * 1000).toLocaleString(language, { dateStyle: 'medium', timeStyle: 'short' });

class VelumJobs extends HTMLElement {
  #gone = new AbortController();
  #timer = 0;
  #most = PAGE;
  #state = h('select', { onchange: () => this.#again() }, h('option', { value: '' }, t('jobs.all')), ...STATES.map((state) => h('option', { value: state }, t(`state.${state}`))));
  #name = h('input', { type: 'search', placeholder: t('jobs.search'), 'aria-label': t('jobs.search'), oninput: () => this.#show() });
  /** Rows in groups: a browser skips those groups that are not in view. */
  #rows = h('table', {}, h('thead', {}, h('tr', {}, ...['name', 'state', 'submitted', 'actions'].map((column) => h('th', { scope: 'col' }, t(`jobs.${column}`))))));
  #table = h('div', { class: 'scroll panel jobs', role: 'region', tabIndex: 0, 'aria-label': t('nav.jobs'), hidden: true }, this.#rows);
  #none = h('div', { class: 'empty', hidden: true });
  #more = h('button', { type: 'button', hidden: true, onclick: () => { this.#most += PAGE; this.#again(); } }, t('jobs.more'));
  #status = h('p', { class: 'quiet small', role: 'status' });
  /** @type {Job[]} */
  #jobs = [];
  /** @type {Map<string, { row: HTMLTableRowElement, told: string }>} */
  #shown = new Map();
  /** Jobs that something is done with at once. @type {Set<string>} */
  #chosen = new Set();
  #mayGroup = false;
  /** Whether the service was asked if it may recognise people. */
  #asked = false;
  #all = h('input', { type: 'checkbox', onchange: () => this.#choose(this.#jobs.filter(({ id }) => this.#shown.has(id)), this.#all.checked) });
  #selection = /** @type {VelumSelection} */ (document.createElement('velum-selection'));

  connectedCallback() {
    this.className = 'stack';
    this.append(
      h('h1', {}, t('nav.jobs')),
      h('div', { class: 'row jobs-filter' }, h('label', { class: 'row' }, h('span', {}, t('jobs.state')), this.#state), this.#name, this.#status, h('span', { class: 'gap' }), h('label', { class: 'check' }, this.#all, h('span', {}, t('jobs.choose.all'))), layoutChoice(this)),
      this.#table, this.#selection, this.#none, h('div', { class: 'row' }, this.#more));
    this.#selection.hidden = true;
    this.#selection.addEventListener('clear', () => this.#choose([...this.#jobs], false));
    this.#selection.addEventListener('deleted', () => this.#again());
    this.#again();
  }

  disconnectedCallback() {
    this.#gone.abort();
    clearTimeout(this.#timer);
  }

  /** Ask again, now and then while the page is shown. */
  async #again() {
    clearTimeout(this.#timer);
    const chosen = this.#state.value;
    try {
      await loadFileTypes(this.#gone.signal);
      if (!this.#asked) {
        this.#mayGroup = await mayGroup(this.#gone.signal);
        this.#asked = true;
      }
      /** @type {Job[]} */
      const jobs = [];
      let after = '';
      do {
        const limit = Math.min(MOST_AT_ONCE, this.#most - jobs.length);
        const query = new URLSearchParams({ limit: String(limit), ...(chosen && { state: chosen }), ...(after && { after }) });
        const page = await getJson(`v1/jobs?${query}`, this.#gone.signal);
        jobs.push(...page.jobs);
        after = page.after ?? '';
      } while (after && jobs.length < this.#most);
      if (chosen !== this.#state.value) return;
      this.#jobs = jobs;
      this.#more.hidden = !after;
      this.#show();
    } catch (error) {
      if (this.#gone.signal.aborted) return;
      this.#status.textContent = errorText(error);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#again(), document.hidden || this.#jobs.every(ended) ? REST_MS : LOOK_MS);
  }

  #show() {
    const wanted = this.#name.value.trim().toLowerCase();
    const jobs = this.#jobs.filter((job) => job.name.toLowerCase().includes(wanted));
    const before = this.#shown;
    this.#shown = new Map(jobs.map((job) => {
      const was = before.get(job.id), told = JSON.stringify(job);
      return [job.id, was?.told === told ? was : { row: this.#row(job, was?.row), told }];
    }));
    const rows = [...this.#shown.values()].map(({ row }) => row);
    this.#place(rows);
    this.#table.hidden = !rows.length;
    this.#none.hidden = rows.length > 0;
    if (!rows.length && !this.#none.firstChild?.textContent?.includes(wanted || '\0')) {
      const any = wanted || this.#state.value;
      this.#none.replaceChildren(h('h2', {}, t(any ? 'jobs.nomatch' : 'jobs.none')), h('p', {}, t(any ? 'jobs.nomatch.how' : 'jobs.none.how')), any ? '' : h('a', { class: 'button primary', href: '#/' }, t('jobs.begin')));
    }
    this.#status.textContent = t('jobs.count', { n: jobs.length });
    this.#choose(this.#jobs.filter(({ id }) => this.#chosen.has(id)), true);
  }

  /** @param {HTMLTableRowElement[]} rows */
  #place(rows) {
    const bodies = [...this.#rows.tBodies], groups = Math.ceil(rows.length / GROUP);
    for (const body of bodies.slice(groups)) body.remove();
    for (let i = 0; i < groups; i += 1) {
      const body = bodies[i] ?? this.#rows.createTBody(), wanted = rows.slice(i * GROUP, (i + 1) * GROUP);
      body.style.setProperty('--rows', String(wanted.length));
      if (wanted.length !== body.rows.length || wanted.some((row, k) => body.rows[k] !== row)) body.replaceChildren(...wanted);
    }
  }

  /** Whether the people of a job can be decided. @param {Job} job */
  #canGroup(job) {
    return this.#mayGroup && job.state === 'done' && job.regions && job.source_kept;
  }

  /** @param {Job[]} jobs @param {boolean} on */
  #choose(jobs, on) {
    if (on) this.#chosen = new Set([...this.#chosen].filter((id) => this.#jobs.some((job) => job.id === id)));
    for (const job of jobs) this.#chosen[on ? 'add' : 'delete'](job.id);
    for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (this.#rows.querySelectorAll('input[data-job]'))) box.checked = this.#chosen.has(box.dataset.job ?? '');
    this.#all.checked = this.#chosen.size > 0;
    this.#all.indeterminate = this.#chosen.size > 0 && this.#chosen.size < this.#shown.size;
    const chosen = this.#jobs.filter(({ id }) => this.#chosen.has(id));
    this.#selection.show(chosen, chosen.filter((job) => this.#canGroup(job)));
  }

  /** @param {Job} job @param {HTMLTableRowElement} [row] the one it had: what has the focus keeps it @returns {HTMLTableRowElement} */
  #row(job, row = h('tr')) {
    const focus = row.contains(document.activeElement) ? document.activeElement?.getAttribute('data-do') : null;
    const look = job.state === 'done' && isVideo(job.name) ? `#/review/${job.id}` : `#/jobs/${job.id}`;
    row.replaceChildren(
      h('td', { class: 'job-name' }, h('div', { class: 'with-picture' }, h('input', {
        type: 'checkbox', 'data-job': job.id, 'data-do': 'choose', checked: this.#chosen.has(job.id), 'aria-label': t('jobs.choose.name', { name: job.name }),
        onchange: (/** @type {Event} */ event) => this.#choose([job], /** @type {HTMLInputElement} */ (event.target).checked),
      }), thumbnail(job), h('div', {}, h('a', { href: look }, job.name), h('div', { class: 'small quiet' }, kindOf(job), ' ', fileSize(job))))),
      h('td', {}, this.#how(job)),
      h('td', { class: 'number small quiet' }, moment(job.submitted), h('div', {}, keptText(job))),
      h('td', {}, h('div', { class: 'row job-actions' }, ...this.#actions(job))));
    if (focus) /** @type {HTMLElement | null} */ (row.querySelector(`[data-do=${focus}]`) ?? row.querySelector('a'))?.focus();
    return row;
  }

  /** @param {Job} job */
  #how(job) {
    if (job.state === 'running') {
      const bar = /** @type {VelumProgress} */ (document.createElement('velum-progress'));
      const { done, total } = job.frames;
      const fps = job.fps ? t('jobs.fps', { n: job.fps.toFixed(job.fps < 10 ? 1 : 0) }) : '';
      queueMicrotask(() => bar.set(total ? done / total : null, [t('state.running'), fps, left(job.seconds_left)].filter(Boolean).join(' · '), job.name));
      return bar;
    }
    return [h('span', { class: `badge ${BADGE[job.state]}` }, t(`state.${job.state}`)), job.error ? h('div', { class: 'small bad job-error' }, failure(job.error)) : ''];
  }

  /** @param {Job} job */
  #actions(job) {
    /** @param {string} what @param {string} shape @param {() => Promise<any>} act */
    const button = (what, shape, act) => h('button', {
      type: 'button', class: 'plain', 'data-do': what, 'aria-label': t(`jobs.${what}.name`, { name: job.name }), title: t(`jobs.${what}`),
      onclick: async () => {
        try {
          await act();
        } catch (error) {
          tellError(error);
        }
      },
    }, icon(shape));
    /** @param {string} method @param {string} path */
    const does = (method, path) => async () => {
      await send(method, `v1/jobs/${job.id}${path}`);
      await this.#again();
    };
    return [
      job.result && button('download', ICONS.download, () => saveResult(job.id)),
      !ended(job) && button('cancel', ICONS.close, does('POST', '/cancel')),
      ['failed', 'cancelled', 'dead'].includes(job.state) && job.source_kept && button('retry', ICONS.redo, does('POST', '/retry')),
      button('delete', ICONS.trash, async () => {
        const sure = await ask({ title: t('jobs.delete.sure', { name: job.name }), body: [h('p', {}, t('jobs.delete.what'))], ok: t('delete'), danger: true });
        if (sure) await does('DELETE', '')();
      }),
    ].filter((action) => action !== false);
  }
}
customElements.define('velum-jobs', VelumJobs);

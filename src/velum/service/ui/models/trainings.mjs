// @ts-check
/** For operators: train models, watch them, compare each with the present one of its name, switch over and back. */
import { getJson, Problem, save, send } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { ask } from '../parts/dialog.mjs';
import { failure } from '../parts/error_text.mjs';
import { VelumProgress } from '../parts/progress.mjs';
import { tellError } from '../parts/toast.mjs';
import { language, left, t } from '../i18n.mjs';

/**
 * @typedef {{ hits: number, total: number, share: number | null, interval: [number, number] }} Rate
 * @typedef {Record<string, { found: Rate, right: Rate | null }>} Figures
 * @typedef {{ present: { labels: Figures }, new: { labels: Figures }, held_out: number, seen: number | null }} Compared
 * @typedef {{ phase?: string, share?: number, step?: number, loss?: number, score?: number | null, measure?: string | null,
 *   seconds_left?: number | null, compared?: Compared | null, by_size?: { label: string, kind: string, found: Rate }[],
 *   precision?: Record<string, Rate>, held_out?: number, trained_on?: number, left_out?: number,
 *   looks?: { step: number, score: number, measure: string }[] }} Report
 * @typedef {{ id: string, name: string, state: import('../api.mjs').Job['state'], submitted: number, report: Report | null,
 *   error: { code: string, message: string | null } | null, result: boolean, present: boolean, retryable: boolean }} Training
 * @typedef {{ trainings: Training[], needs: string | null, bases: Record<string, string[]>, folders: string[], most_seconds: number }} Trainings
 */

const LOOK_MS = 1500, REST_MS = 10000;

/** @param {Rate | null} rate */
function rateText(rate) {
  if (!rate || rate.share === null) return '–';
  const percent = (/** @type {number} */ share) => `${(share * 100).toLocaleString(language, { maximumFractionDigits: 0 })} %`;
  return t('train.rate', { hits: rate.hits, total: rate.total, share: percent(rate.share), low: percent(rate.interval[0]), high: percent(rate.interval[1]) });
}

export class VelumTrainings extends HTMLElement {
  #gone = new AbortController();
  #timer = 0;
  #form = h('div');
  #list = h('div', { class: 'stack' });
  #told = '';

  async connectedCallback() {
    this.className = 'panel stack';
    this.hidden = true;
    this.addEventListener('look', () => this.#again());
    this.append(h('h2', {}, t('train.title')), h('p', { class: 'quiet' }, t('train.why')), this.#form, this.#list);
    try {
      const found = await this.#load();
      this.hidden = false;
      this.#form.replaceChildren(found.needs ? h('p', { class: 'note' }, t('train.needs'), ' ', h('code', {}, found.needs)) : this.#fields(found));
      this.#show(found.trainings);
    } catch (error) {
      // Other callers do not see it: it takes the scope operate.
      if (!(error instanceof Problem && error.status === 403) && !this.#gone.signal.aborted) tellError(error);
    }
  }

  disconnectedCallback() {
    this.#gone.abort();
    clearTimeout(this.#timer);
  }

  /** @returns {Promise<Trainings>} */
  async #load() {
    return getJson('v1/trainings', this.#gone.signal);
  }

  async #again() {
    clearTimeout(this.#timer);
    try {
      this.#show((await this.#load()).trainings);
    } catch (error) {
      if (this.#gone.signal.aborted) return;
      tellError(error);
    }
  }

  /** @param {Training[]} trainings */
  #show(trainings) {
    const told = JSON.stringify(trainings);
    if (told !== this.#told) {
      const focus = this.#list.contains(document.activeElement) ? document.activeElement?.getAttribute('data-do') : null;
      this.#told = told;
      this.#list.replaceChildren(...trainings.map((training) => this.#training(training)));
      if (focus) /** @type {HTMLElement | null} */ (this.#list.querySelector(`[data-do="${focus}"]`))?.focus();
    }
    clearTimeout(this.#timer);
    const works = trainings.some(({ state }) => state === 'waiting' || state === 'running');
    this.#timer = window.setTimeout(() => this.#again(), works && !document.hidden ? LOOK_MS : REST_MS);
  }

  /** @param {Trainings} found */
  #fields({ bases, folders, most_seconds }) {
    /** @param {string} key @param {HTMLElement} input */
    const field = (key, input) => h('label', { class: 'field' }, h('span', {}, t(`train.${key}`)), input);
    const truth = h('input', { name: 'truth', placeholder: folders[0] }), media = h('input', { name: 'media' });
    const source = h('select', { name: 'source', onchange: () => { truth.disabled = source.value === 'approved'; truth.required = !truth.disabled; } },
      h('option', { value: 'approved' }, t('train.approved')), folders.length ? h('option', { value: 'folder' }, t('train.folder')) : null);
    truth.disabled = true;
    const task = h('select', { name: 'task', onchange: () => fill() }, ...Object.keys(bases).map((name) => h('option', { value: name }, t(`train.task.${name}`))));
    const base = h('select', { name: 'base' });
    const fill = () => base.replaceChildren(...(bases[task.value] ?? []).map((name) => h('option', {}, name)));
    fill();
    const minutes = h('input', { name: 'minutes', type: 'number', min: '1', max: String(Math.max(1, Math.floor(most_seconds / 60))), value: '10', required: true });
    const name = h('input', { name: 'name', required: true, pattern: '[A-Za-z][A-Za-z0-9._+\\-]*', maxLength: 64, autocomplete: 'off' });
    const labels = h('input', { name: 'labels', placeholder: t('train.labels.all') });
    const button = h('button', { class: 'primary' }, t('train.start'));
    return h('form', {
      class: 'stack', onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          await send('POST', 'v1/trainings', {
            name: name.value, task: task.value, base: base.value, seconds: Number(minutes.value) * 60,
            labels: labels.value.split(',').map((label) => label.trim()).filter(Boolean),
            ...(source.value === 'folder' && { truth: truth.value }), ...(media.value && { media: media.value }),
          });
          name.value = '';
          await this.#again();
        } catch (error) {
          tellError(error);
        }
        button.disabled = false;
      },
    }, h('div', { class: 'two' }, field('name', name), field('labels', labels), field('source', source), field('truth', truth), folders.length ? field('media', media) : null,
      field('task', task), field('base', base), field('minutes', minutes)), h('div', { class: 'row' }, button));
  }

  /** @param {Training} training */
  #training(training) {
    const { id, name, state, report, error } = training;
    const works = state === 'waiting' || state === 'running';
    return h('article', { class: 'training stack', 'aria-labelledby': `training-${id}` },
      h('div', { class: 'row between' }, h('h3', { id: `training-${id}` }, name), h('span', { class: `badge ${state === 'done' || state === 'running' ? 'good' : error ? 'bad' : ''}` }, training.present ? t('train.present') : t(`state.${state}`))),
      state === 'running' ? this.#progress(training) : null,
      error ? h('div', { class: 'small bad' }, failure(error)) : null,
      state === 'done' && report ? this.#figures(training, report) : null,
      h('div', { class: 'row' },
        state === 'done' && training.result && !training.present && this.#button(training, 'switch', () => send('POST', `v1/trainings/${id}/switch`), 'primary'),
        training.result && this.#button(training, 'download', () => save(`v1/trainings/${id}/result`, `${name}.zip`)),
        works && this.#button(training, 'cancel', () => send('POST', `v1/trainings/${id}/cancel`)),
        training.retryable && this.#button(training, 'retry', () => send('POST', `v1/trainings/${id}/retry`)),
        !works && this.#button(training, 'delete', async () => {
          if (await ask({ title: t('train.delete.sure', { name }), body: [h('p', {}, t('train.delete.what'))], ok: t('delete'), danger: true })) await send('DELETE', `v1/trainings/${id}`);
        })));
  }

  /** @param {Training} training @param {string} what @param {() => Promise<any>} act @param {string} [kind] */
  #button({ id, name }, what, act, kind = '') {
    return h('button', {
      type: 'button', class: kind, 'data-do': `${what}-${id}`, 'aria-label': t(`train.${what}.name`, { name }),
      onclick: async () => {
        try {
          await act();
          if (what === 'switch') this.dispatchEvent(new Event('switched', { bubbles: true }));
        } catch (error) {
          tellError(error);
        }
        await this.#again();
      },
    }, t(`train.${what}`));
  }

  /** @param {Training} training */
  #progress({ name, report }) {
    const bar = /** @type {VelumProgress} */ (document.createElement('velum-progress'));
    const { phase, share, step, loss, score, measure, seconds_left: rest } = report ?? {};
    const score_text = score === null || score === undefined ? '' : t('train.score', { measure: measure ?? '', score: score.toFixed(2) });
    const texts = phase === 'training' ? [t('train.step', { step: step ?? 0, loss: (loss ?? 0).toFixed(2) }), score_text, left(rest ?? null)] : [t(phase === 'measuring' ? 'train.measuring' : 'train.reading')];
    queueMicrotask(() => bar.set(phase === 'training' ? share ?? 0 : null, texts.filter(Boolean).join(' · '), name));
    return bar;
  }

  /** The figures of the new model, beside those of the present one. @param {Training} training @param {Report} report */
  #figures({ name }, report) {
    const { compared } = report;
    /** @type {Figures} */
    const own = compared?.new.labels ?? Object.fromEntries((report.by_size ?? []).filter(({ kind }) => kind === 'all').map(({ label, found }) => [label, { found, right: report.precision?.[label] ?? null }]));
    const columns = compared ? ['train.now', 'train.new'] : ['train.new'];
    const sides = compared ? [compared.present.labels, own] : [own];
    const rows = Object.keys(own).flatMap((label) => (/** @type {const} */ (['found', 'right'])).map((kind) => h('tr', {},
      h('th', { scope: 'row' }, t(`train.${kind}`, { label })), ...sides.map((side) => h('td', { class: 'number' }, rateText(side[label]?.[kind] ?? null))))));
    return h('div', {},
      h('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': t('train.figures', { name }) }, h('table', { class: 'small' },
        h('thead', {}, h('tr', {}, h('td'), ...columns.map((column) => h('th', { scope: 'col' }, t(column))))), h('tbody', {}, ...rows))),
      h('p', { class: 'quiet small' }, t('train.heldout', { n: report.held_out ?? 0, trained: report.trained_on ?? 0 }), ' ', t('train.interval'),
        report.left_out ? ` ${t('train.leftout', { n: report.left_out })}` : ''),
      compared?.seen ? h('p', { class: 'note warn' }, t('train.seen', { n: compared.seen, all: compared.held_out })) : null);
  }
}
customElements.define('velum-trainings', VelumTrainings);

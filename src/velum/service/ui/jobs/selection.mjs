// @ts-check
/** What can be done with all chosen jobs at once. */
import { getBlob, Problem, send } from '../api.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import { ask } from '../parts/dialog.mjs';
import { applyPending } from '../parts/result.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { addressOf, reviewOnly, waiting } from '../review/queue.mjs';
import { apart, zip } from '../start/zip.mjs';
import { t } from '../i18n.mjs';

/** @typedef {import('../api.mjs').Job} Job */

/** Events: `clear`; `deleted`. */
export class VelumSelection extends HTMLElement {
  /** @type {Job[]} */
  #jobs = [];
  #count = h('strong', { role: 'status' });
  #download = h('button', { type: 'button', onclick: () => this.#act(() => this.#zip()) }, icon(ICONS.download), t('download'));
  #review = h('button', { type: 'button', onclick: () => this.#act(() => this.#start()) }, icon(ICONS.eye), t('review.start'));
  #people = h('a', { class: 'button' });
  #delete = h('button', { type: 'button', class: 'danger', onclick: () => this.#act(() => this.#remove()) }, icon(ICONS.trash), t('delete'));
  #clear = h('button', { type: 'button', class: 'plain', 'aria-label': t('jobs.choose.none'), title: t('jobs.choose.none'), onclick: () => this.dispatchEvent(new Event('clear')) }, icon(ICONS.close));

  connectedCallback() {
    this.className = 'panel row selection';
    this.setAttribute('role', 'toolbar');
    this.setAttribute('aria-label', t('jobs.chosen.actions'));
    if (!this.firstChild) this.append(this.#count, this.#download, this.#review, this.#people, this.#delete, this.#clear);
  }

  /** @param {Job[]} jobs that are chosen @param {Job[]} people those whose people can be decided */
  show(jobs, people) {
    this.#jobs = jobs;
    this.hidden = !jobs.length;
    this.#count.textContent = t('jobs.chosen', { n: jobs.length });
    this.#download.disabled = this.#review.disabled = !jobs.some(({ result }) => result);
    this.#people.hidden = !people.length;
    this.#people.textContent = t('jobs.people', { n: people.length });
    this.#people.href = `#/people/${people.map(({ id }) => id).join(',')}`;
  }

  /** @param {() => Promise<void>} act */
  async #act(act) {
    this.inert = true;
    try {
      await act();
    } catch (error) {
      if (error instanceof RangeError) tell(t('start.ziplarge'), 'bad');
      else tellError(error);
    } finally {
      this.inert = false;
    }
  }

  /** All results with all corrections, as one file. */
  async #zip() {
    const done = this.#jobs.filter(({ result }) => result);
    if (!await applyPending(done.map(({ id }) => id))) return;
    const names = apart(done.map(({ result_name: name, ...job }) => name ?? job.name)), files = [];
    for (const [i, { id }] of done.entries()) files.push({ name: names[i], blob: await getBlob(`v1/jobs/${id}/result`) });
    const link = h('a', { href: URL.createObjectURL(await zip(files)), download: 'velum.zip' });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  /** Go through those of the chosen that wait for a review, and no others. */
  async #start() {
    reviewOnly(this.#jobs.map(({ id }) => id));
    const [first] = (await waiting(new AbortController().signal)).reviews;
    if (first) location.hash = addressOf(first);
    else {
      reviewOnly([]);
      tell(t('jobs.chosen.reviewed'));
    }
  }

  async #remove() {
    const [first] = this.#jobs, n = this.#jobs.length;
    const title = n === 1 ? t('jobs.delete.sure', { name: first.name }) : t('jobs.chosen.delete', { n });
    if (!await ask({ title, body: [h('p', {}, t(n === 1 ? 'jobs.delete.what' : 'jobs.chosen.delete.what'))], ok: t('delete'), danger: true, careful: n > 1 })) return;
    try {
      for (const { id } of this.#jobs) await send('DELETE', `v1/jobs/${id}`).catch(unlessGone);
    } finally {
      this.dispatchEvent(new Event('deleted'));
    }
  }
}
customElements.define('velum-selection', VelumSelection);

/** @param {unknown} error */
function unlessGone(error) {
  if (!(error instanceof Problem && error.status === 404)) throw error;
}

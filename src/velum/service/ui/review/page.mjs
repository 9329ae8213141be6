// @ts-check
/** Results that nobody has approved yet, those to doubt first at the top. */
import { h } from '../parts/dom.mjs';
import { ask } from '../parts/dialog.mjs';
import { errorText } from '../parts/error_text.mjs';
import { tell } from '../parts/toast.mjs';
import { t } from '../i18n.mjs';
import { addressOf, approve, waiting } from './queue.mjs';

/** @typedef {import('./queue.mjs').Review} Review */

class VelumReview extends HTMLElement {
  #gone = new AbortController();
  /** @type {Review[]} */
  #reviews = [];
  #eyes = 1;
  #all = h('button', { type: 'button', class: 'primary', hidden: true, onclick: () => this.#approveAll() });
  #body = h('div', { 'aria-live': 'polite' });

  connectedCallback() {
    this.className = 'stack';
    this.append(h('div', { class: 'row between' }, h('div', {}, h('h1', {}, t('nav.review')), h('p', { class: 'quiet' }, t('review.sub'))), this.#all), this.#body);
    this.#load();
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  async #load() {
    try {
      const { reviews, eyes } = await waiting(this.#gone.signal);
      [this.#reviews, this.#eyes] = [reviews, eyes];
      this.#show();
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#body.replaceChildren(h('p', { class: 'note bad' }, errorText(error)));
    }
  }

  #show() {
    const reviews = this.#reviews;
    this.#all.hidden = !reviews.length;
    this.#all.textContent = t('review.all', { n: reviews.length });
    if (!reviews.length) {
      this.#body.replaceChildren(h('div', { class: 'empty' }, h('h2', {}, t('review.none')), h('p', {}, t('review.none.how'))));
      return;
    }
    this.#body.replaceChildren(h('div', { class: 'scroll panel jobs', role: 'region', tabIndex: 0, 'aria-label': t('nav.review') }, h('table', {},
      h('thead', {}, h('tr', {}, ...['review.name', 'review.why', 'jobs.actions'].map((key) => h('th', { scope: 'col' }, t(key))))),
      h('tbody', {}, ...reviews.map((review) => this.#row(review))))));
  }

  /** @param {Review} review */
  #row(review) {
    const { job, risk, why, approved } = review;
    return h('tr', {},
      h('td', { class: 'job-name' }, h('a', { href: addressOf(review) }, job.name)),
      h('td', {}, h('div', { class: 'row' }, ...(why.length ? why.map((reason) => h('span', { class: `badge ${risk >= 0.35 ? 'bad' : 'warn'}` }, t(`review.why.${reason}`))) : [h('span', { class: 'badge good' }, t('review.fine'))]),
        approved.length ? h('span', { class: 'badge' }, t('review.eyes', { n: approved.length, all: this.#eyes, who: approved.map(({ who }) => who).join(', ') })) : '')),
      h('td', {}, h('div', { class: 'row job-actions' },
        h('button', { type: 'button', 'aria-label': t('review.approve.name', { name: job.name }), onclick: () => this.#approve([review]) }, t('review.approve')))));
  }

  async #approveAll() {
    const n = this.#reviews.length;
    if (await ask({ title: t('review.all.sure', { n }), body: [h('p', {}, t('review.all.what'))], ok: t('review.approve') })) await this.#approve(this.#reviews);
  }

  /** @param {Review[]} chosen */
  async #approve(chosen) {
    const place = chosen.length === 1 ? this.#reviews.indexOf(chosen[0]) : 0;
    try {
      await approve(chosen);
      this.#reviews = this.#reviews.filter((review) => !chosen.includes(review));
      tell(t('review.approved', { n: chosen.length }));
      this.#show();
      const buttons = this.#body.querySelectorAll('button');
      buttons[Math.min(place, buttons.length - 1)]?.focus();
    } catch (error) {
      tell(errorText(error), 'bad');
      await this.#load();
    }
  }
}

customElements.define('velum-review', VelumReview);

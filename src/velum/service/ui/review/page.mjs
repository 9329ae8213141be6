// @ts-check
/** Results that nobody has approved yet, those to doubt first at the top. */
import { send } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { ask } from '../parts/dialog.mjs';
import { errorNote } from '../parts/error_text.mjs';
import { keptText } from '../parts/kept.mjs';
import { layoutChoice } from '../parts/layout.mjs';
import { fileSize, thumbnail } from '../parts/thumbnail.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { kindOf } from '../parts/kind.mjs';
import { t } from '../i18n.mjs';
import { addressOf, approve, reviewOnly, waiting } from './queue.mjs';

/** @typedef {import('./queue.mjs').Review} Review */

/** Whether the result lacks corrections that somebody has made: who approved it would lose them. @param {Review} review */
const lacks = ({ job }) => job.corrections_pending || job.drafted !== null;

/** Whether it can be approved from the list: as it is, it was opened. @param {Review} review */
const opened = (review) => review.undecided !== null && !lacks(review);

class VelumReview extends HTMLElement {
  #gone = new AbortController();
  /** @type {Review[]} */
  #reviews = [];
  #eyes = 1;
  #caller = '';
  #mine = h('input', { type: 'checkbox', onchange: () => this.#show() });
  #all = h('button', { type: 'button', hidden: true, onclick: () => this.#approveAll() });
  #start = h('a', { class: 'button primary', hidden: true }, t('review.start'));
  #body = h('div', { 'aria-live': 'polite' });

  connectedCallback() {
    this.className = 'stack';
    reviewOnly([]);
    this.append(h('div', { class: 'row between' }, h('div', {}, h('h1', {}, t('nav.review')), h('p', { class: 'quiet' }, t('review.sub'))), h('div', { class: 'row' }, h('label', { class: 'check', hidden: true }, this.#mine, h('span', {}, t('review.mine'))), h('a', { class: 'button', href: '#/activity' }, t('nav.activity')), layoutChoice(this), this.#all, this.#start)), this.#body);
    this.#load();
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  async #load() {
    try {
      const { reviews, eyes, caller } = await waiting(this.#gone.signal);
      [this.#reviews, this.#eyes, this.#caller] = [reviews, eyes, caller];
      this.#show();
    } catch (error) {
      if (!this.#gone.signal.aborted) this.#body.replaceChildren(errorNote(error));
    }
  }

  #show() {
    const all = this.#reviews, reviews = this.#mine.checked ? all.filter(({ assignee }) => assignee === this.#caller) : all;
    /** @type {HTMLElement} */ (this.#mine.parentElement).hidden = !all.some(({ assignee }) => assignee);
    const looked = reviews.filter(opened);
    this.#all.hidden = !looked.length;
    this.#all.textContent = t('review.all', { n: looked.length });
    const first = reviews.find(({ undecided }) => undecided === null) ?? reviews[0];
    this.#start.hidden = !first;
    if (first) this.#start.href = addressOf(first);
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
    const { job, risk, why, approved, undecided } = review;
    const { assignee, sent_back: back } = review, mine = assignee !== null && assignee === this.#caller;
    const assign = h('button', { type: 'button', class: 'plain small', onclick: async () => {
      try {
        await send('PUT', `v1/jobs/${job.id}/assignee`, { assignee: mine ? null : this.#caller });
        await this.#load();
      } catch (error) {
        tellError(error);
      }
    } }, t(mine ? 'review.leave' : 'review.take'));
    return h('tr', {},
      h('td', { class: 'job-name' }, h('div', { class: 'with-picture' }, thumbnail(job), h('div', {}, h('a', { href: addressOf(review) }, job.name), h('div', { class: 'small quiet' }, kindOf(job), ' ', fileSize(job))))),
      h('td', {}, h('div', { class: 'row' }, ...(why.length ? why.map((reason) => h('span', { class: `badge ${risk >= 0.35 ? 'bad' : 'warn'}` }, t(`review.why.${reason}`))) : [h('span', { class: 'badge good' }, t('review.fine'))]),
        approved.length ? h('span', { class: 'badge' }, t('review.eyes', { n: approved.length, all: this.#eyes, who: approved.map(({ who }) => who).join(', ') })) : '',
        back ? h('span', { class: 'badge bad', title: back }, t('review.sentback')) : '', assignee && assignee !== 'anonymous' ? h('span', { class: 'badge' }, t('review.assignee', { who: assignee })) : '',
        lacks(review) ? h('span', { class: 'badge warn' }, t('review.lacks')) : undecided ? h('span', { class: 'badge warn' }, t('review.undecided', { n: undecided })) : undecided === 0 ? h('span', { class: 'badge' }, t('review.looked')) : ''),
        h('div', { class: 'small quiet' }, keptText(job))),
      h('td', {}, h('div', { class: 'row job-actions' },
        this.#caller === 'anonymous' ? '' : assign,
        !opened(review) ? h('a', { class: 'button', href: addressOf(review), 'aria-label': t('start.lookname', { name: job.name }) }, t('start.look'))
          : h('button', { type: 'button', 'aria-label': t('review.approve.name', { name: job.name }), onclick: () => this.#sure([review]) }, t('review.approve')))));
  }

  #approveAll() {
    return this.#sure(this.#reviews.filter(opened));
  }

  /** Ask before several are approved, or one with open decisions. @param {Review[]} chosen */
  async #sure(chosen) {
    const n = chosen.length, open = chosen.reduce((sum, { undecided }) => sum + (undecided ?? 0), 0), left = this.#reviews.length - n;
    const body = [open ? h('p', { class: 'note warn' }, t('review.open', { n: open })) : '', n > 1 && left ? h('p', {}, t('review.all.left', { n: left })) : '', h('p', {}, t('review.all.what'))];
    if ((n === 1 && !open) || await ask({ title: t('review.all.sure', { n }), body, ok: t(open ? 'review.anyway' : 'review.approve'), cancel: t(open ? 'review.goon' : 'cancel'), careful: open > 0 })) await this.#approve(chosen);
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
      tellError(error);
      await this.#load();
    }
  }
}

customElements.define('velum-review', VelumReview);

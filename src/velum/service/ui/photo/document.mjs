// @ts-check
/** An archive, a document or a log: what was done with each of its members, and its pictures, videos and sounds before and after. */
import { getBlob } from '../api.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import { remarks } from '../parts/remarks.mjs';
import { VelumViewer } from '../parts/viewer.mjs';
import { soundOf } from '../sound/spans.mjs';
import { VelumSound } from '../sound/view.mjs';
import { t } from '../i18n.mjs';
import { VelumFilm } from './film.mjs';
import { hiddenText } from './labels.mjs';
import { shownMembers } from './members.mjs';

/** @typedef {import('./members.mjs').Member} Member */
/** @typedef {import('./members.mjs').Shown} Shown */

/** What was done with members that are not shown, in this order. */
const OTHERS = /** @type {const} */ (['edited', 'removed', 'emptied', 'copied']);
const MOST_NAMED = 200;

/** Pictures of PDFs have no names: the report numbers them. @param {string} name */
export const memberName = (name) => name.replace(/page (\d+), image (\d+)$/, (_, page, image) => t('document.image', { page, image })).replace(/(^|\/)page (\d+)$/, (_, before, at) => before + t('document.page', { at }));

/** Event: `page` when another picture is shown. */
export class VelumDocument extends HTMLElement {
  /** How many pictures of the result were shown, each as it is. */
  #seen = new Set();
  /** @type {Shown[]} */
  #all = [];
  #at = 0;
  #path = '';
  #original = false;
  #gone = new AbortController();
  /** @type {'before' | 'after' | 'compare'} */
  #view = 'compare';
  viewer = /** @type {VelumViewer} */ (document.createElement('velum-viewer'));
  /** Where videos and sounds are played. */
  #player = h('div', { class: 'player', hidden: true });
  #bar = h('div', { class: 'row tools', role: 'toolbar', 'aria-label': t('photo.tools') });
  #note = h('div', { 'aria-live': 'polite' });
  #list = h('ul', { class: 'regions members' });

  /** Whether all was shown that can be: then it may be approved. */
  get whole() {
    return this.#seen.size === this.#all.length;
  }

  /** @param {string} path of the job @param {import('./members.mjs').DocumentReport} report @param {boolean} original whether it may be seen */
  open(path, report, original) {
    [this.#path, this.#original, this.#all] = [path, original, shownMembers(report)];
    if (!original) this.#view = 'after';
    const labels = this.#all.flatMap((shown) => shown.labels), played = this.#all.some(({ kind }) => kind !== 'page');
    const side = h('aside', { class: 'panel stack', 'aria-label': t('document.members') }, h('div', {}, h('h2', {}, hiddenText(labels)), h('p', { class: 'quiet' }, t('document.pictures', { n: this.#all.length }))),
      played ? h('p', { class: 'note' }, t('document.video')) : '', remarks(report.warnings), this.#list, ...OTHERS.map((action) => others(report.members, action)));
    this.replaceChildren(h('div', { class: 'stage' }, this.#bar, ...(this.#all.length ? [this.viewer, this.#player] : [h('p', { class: 'empty' }, t('document.none'))]), this.#note), side);
    this.#list.append(...this.#all.map((shown, i) => this.#row(shown, i)));
    this.#list.addEventListener('keydown', (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.#show(this.#at + step, true);
    });
    if (this.#all.length) this.#show(0);
    else this.dispatchEvent(new Event('page')); // there is nothing to look at
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  /** @param {Shown} shown @param {number} i */
  #row({ member, page, labels, kind }, i) {
    const many = (member.frames ?? 1) > 1 && kind === 'page';
    return h('li', {}, h('button', { type: 'button', class: 'plain', onclick: () => this.#show(i) },
      h('span', { class: 'member-name' }, many ? `${memberName(member.name)}, ${t('document.page', { at: page + 1 })}` : memberName(member.name)),
      h('span', { class: 'small quiet' }, member.action === 'covered' ? t('document.covered') : kind === 'sound' ? soundText(member) : hiddenText(labels))));
  }

  /** @param {number} at @param {boolean} [focus] */
  async #show(at, focus = false) {
    const shown = this.#all[at], signal = this.#gone.signal;
    if (!shown) return;
    this.#at = at;
    const rows = [...this.#list.children];
    rows.forEach((row, i) => {
      row.classList.toggle('chosen', i === at);
      row.firstElementChild?.setAttribute('aria-pressed', String(i === at));
    });
    // Beside the picture, the list scrolls by itself; below it, the page would.
    const aside = this.#list.closest('aside');
    if (aside && aside.scrollHeight > aside.clientHeight) rows[at].scrollIntoView({ block: 'nearest' });
    if (focus) /** @type {HTMLElement} */ (rows[at].firstElementChild).focus();
    this.#tools();
    this.#player.replaceChildren();
    this.viewer.hidden = shown.kind !== 'page';
    this.#player.hidden = shown.kind === 'page';
    if (shown.kind !== 'page') return this.#play(shown, at);
    const query = new URLSearchParams({ member: shown.member.name, page: String(shown.page) });
    /** @param {'source' | 'result'} of */
    const picture = async (of) => createImageBitmap(await getBlob(`${this.#path}/still?of=${of}&${query}`, signal));
    try {
      const [after, before] = await Promise.all([picture('result'), this.#original ? picture('source').catch(() => null) : null]);
      if (at !== this.#at) return;
      this.viewer.mode = before ? this.#view : 'after';
      await this.viewer.show(before, after);
      this.#saw(at);
    } catch (error) {
      if (!signal.aborted && at === this.#at) this.#note.replaceChildren(h('p', { class: 'note warn' }, t('document.cannot', { name: memberName(shown.member.name) })));
    }
  }

  /** All of a member was shown. @param {number} at */
  #saw(at) {
    this.#note.replaceChildren();
    this.#seen.add(at);
    this.#list.children[at].classList.add('seen');
    this.dispatchEvent(new Event('page'));
  }

  /** A video or a sound is shown once its result was played. @param {Shown} shown @param {number} at */
  #play({ member, kind, tracks }, at) {
    this.#note.replaceChildren();
    if (kind === 'sound') {
      const sound = /** @type {VelumSound} */ (document.createElement('velum-sound'));
      this.#player.append(sound);
      sound.addEventListener('heard', () => this.#saw(at));
      return sound.open(this.#path, { frames: 0, sound: member.sound, warnings: [] }, this.#original, member.name);
    }
    const film = /** @type {VelumFilm} */ (document.createElement('velum-film'));
    this.#player.append(film);
    film.addEventListener('played', () => this.#saw(at));
    film.open(this.#path, member.name, member.frames ?? 1, tracks, this.#original);
  }

  #tools() {
    const at = this.#at, all = this.#all.length;
    const pages = this.#all[at].kind === 'page', views = this.#original && pages ? /** @type {const} */ (['before', 'compare', 'after']) : [];
    this.#bar.replaceChildren(
      ...views.map((view) => h('button', { type: 'button', 'aria-pressed': String(this.#view === view), onclick: () => {
        this.#view = this.viewer.mode = view;
        this.viewer.refresh();
        this.#tools();
      } }, t(`photo.view.${view}`))), h('span', { class: 'gap' }),
      h('button', { type: 'button', 'aria-label': t('document.back'), title: t('document.back'), disabled: at === 0, onclick: () => this.#show(at - 1) }, icon(ICONS.back)),
      h('span', { class: 'small number' }, t('document.at', { at: at + 1, all })),
      h('button', { type: 'button', 'aria-label': t('document.on'), title: t('document.on'), disabled: at === all - 1, onclick: () => this.#show(at + 1) }, icon(ICONS.on)),
      h('span', { class: 'gap' }), ...(pages ? [
      h('button', { type: 'button', 'aria-label': t('photo.out'), title: t('photo.out'), onclick: () => this.viewer.zoom(0.8) }, icon(ICONS.minus)),
      h('button', { type: 'button', 'aria-label': t('photo.in'), title: t('photo.in'), onclick: () => this.viewer.zoom(1.25) }, icon(ICONS.add)),
      h('button', { type: 'button', onclick: () => this.viewer.fit() }, t('photo.fit'))] : []));
  }
}
customElements.define('velum-document', VelumDocument);

/** @param {Member} member a sound */
function soundText({ sound }) {
  const { action, spans } = soundOf({ sound });
  return t(spans.length || action === 'silence' ? `sound.done.${action}` : 'sound.done.none', { n: spans.length });
}

/** Members that something else was done with. @param {Member[]} members @param {typeof OTHERS[number]} action */
function others(members, action) {
  const names = members.filter((member) => member.action === action).map(({ name }) => name);
  if (!names.length) return '';
  return h('details', {}, h('summary', {}, t(`document.${action}`, { n: names.length })),
    h('ul', { class: 'small names' }, ...names.slice(0, MOST_NAMED).map((name) => h('li', {}, memberName(name))), names.length > MOST_NAMED ? h('li', {}, t('start.more.files', { n: names.length - MOST_NAMED })) : ''));
}

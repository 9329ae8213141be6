// @ts-check
/** Where the page begins: header, navigation, and the element of the address after `#`. */
import { connection, onKeyWanted, useKey } from './api.mjs';
import { h } from './parts/dom.mjs';
import { ask } from './parts/dialog.mjs';
import { errorNote } from './parts/error_text.mjs';
import { tellError } from './parts/toast.mjs';
import { language, t } from './i18n.mjs';

/**
 * Routes: the first part of the address, the module and the element for it, and those for one job. Each module is
 * loaded when it is first shown. The element is given the job's id as its attribute `job`, and `queue` where it was
 * opened on the way through the queue; where it has a method `mayLeave`, that is asked before another takes its place.
 * Those that are `apart` are not in the navigation: for them, `job` has the ids of several jobs.
 * @type {{ name: string, module: string, element: string, one?: [string, string], apart?: boolean }[]}
 */
const ROUTES = [
  { name: '', module: './start/page.mjs', element: 'velum-start' },
  { name: 'jobs', module: './jobs/page.mjs', element: 'velum-jobs', one: ['./photo/page.mjs', 'velum-photo'] },
  { name: 'review', module: './review/page.mjs', element: 'velum-review', one: ['./video/page.mjs', 'velum-video'] },
  { name: 'models', module: './models/page.mjs', element: 'velum-models' },
  { name: 'settings', module: './settings/page.mjs', element: 'velum-settings' },
  { name: 'activity', module: './review/activity.mjs', element: 'velum-activity', apart: true },
  { name: 'people', module: './gallery/page.mjs', element: 'velum-people', apart: true },
];

class VelumApp extends HTMLElement {
  #main = h('main', { id: 'main', tabIndex: -1 });
  #links = ROUTES.filter(({ apart }) => !apart).map(({ name }) => h('a', { href: `#/${name}` }, t(`nav.${name || 'start'}`)));
  #shown = '';
  #hash = '#/';
  #lost = h('p', { class: 'lost', role: 'alert', hidden: true }, t('lost'));

  connectedCallback() {
    document.documentElement.lang = language;
    onKeyWanted(keyField);
    const mark = h('img', { src: new URL('mark.svg', import.meta.url).href, alt: '', width: 28, height: 28 });
    this.append(
      h('a', { class: 'skip', href: '#main', onclick: (/** @type {Event} */ event) => {
        event.preventDefault();
        this.#main.focus();
      } }, t('skip')),
      h('header', { class: 'top' },
        h('a', { class: 'brand', href: '#/', 'aria-label': 'velum' }, mark, h('span', {}, 'velum')),
        h('nav', { 'aria-label': t('nav') }, ...this.#links),
        h('a', { class: 'quiet small', href: 'docs' }, t('nav.docs'))),
      this.#lost, this.#main, document.createElement('velum-toast'));
    connection.addEventListener('lost', () => { this.#lost.hidden = false; });
    connection.addEventListener('back', () => { this.#lost.hidden = true; });
    addEventListener('keydown', (event) => {
      const at = /** @type {HTMLElement} */ (event.target);
      if (event.key === '?' && !at.closest('input:not([type=checkbox], [type=radio], [type=range]), select, textarea, dialog')) this.#keys();
    });
    addEventListener('hashchange', () => this.#go());
    this.#go();
  }

  /** What the keys do on the page that is shown. */
  #keys() {
    const kind = this.#main.querySelector('velum-sound') ? 'sound' : { 'VELUM-PHOTO': 'photo', 'VELUM-VIDEO': 'video' }[this.#main.firstElementChild?.tagName ?? ''] ?? '';
    const rows = [...(kind ? t(`keys.${kind}`).split('|') : []), ...t('keys.all').split('|')].map((row) => row.split('='));
    ask({ title: t('keys.help'), body: [h('dl', { class: 'keys' }, ...rows.flatMap(([keys, what]) => [h('dt', {}, ...keys.trim().split(' ').map((key) => h('kbd', {}, key))), h('dd', {}, what)]))], ok: t('close'), cancel: '' });
  }

  async #go() {
    const [, name = '', job = '', way = ''] = location.hash.split('/');
    const at = `${name}/${job}`;
    const now = /** @type {{ mayLeave?: () => Promise<boolean> } | null} */ (this.#main.firstElementChild);
    if (now?.mayLeave && this.#shown !== at && !await now.mayLeave()) {
      history.replaceState(null, '', this.#hash);
      return;
    }
    this.#hash = location.hash || '#/';
    const route = ROUTES.find((candidate) => candidate.name === name) ?? ROUTES[0];
    this.#links.forEach((link, i) => {
      if (ROUTES[i] === route) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    });
    const [module, element] = job && route.one ? route.one : [route.module, route.element];
    const again = this.#shown !== '';
    this.#shown = at;
    try {
      await import(module);
    } catch (error) {
      if (this.#shown === at) this.#main.replaceChildren(h('section', { class: 'empty' }, errorNote(error, t('failed.page')), h('button', { type: 'button', onclick: () => location.reload() }, t('start.retry'))));
      return;
    }
    if (this.#shown !== at) return;
    const page = document.createElement(element);
    if (job) page.setAttribute('job', job);
    page.toggleAttribute('queue', way === 'queue');
    this.#main.replaceChildren(page);
    document.title = `${t(`nav.${route.name || 'start'}`)} · velum`;
    if (again) this.#main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

/** @param {boolean} refused @returns {Promise<string | null>} */
async function keyField(refused) {
  const field = h('input', { type: 'password', name: 'key', autocomplete: 'off', required: true, spellcheck: false });
  const keep = h('input', { type: 'checkbox', name: 'keep' });
  const body = [
    h('p', {}, t(refused ? 'key.refused' : 'key.why')),
    h('label', { class: 'field' }, h('span', {}, t('key.label')), field),
    h('label', { class: 'check' }, keep, h('span', {}, t('key.keep'))),
  ];
  if (!await ask({ title: t('key.title'), body, ok: t('key.ok') })) return null;
  useKey(field.value.trim(), keep.checked);
  return field.value;
}

addEventListener('unhandledrejection', (event) => {
  if (event.reason?.name === 'AbortError') return event.preventDefault();
  event.preventDefault();
  console.error(event.reason);
  tellError(event.reason);
});

// Only on this machine and over HTTPS do browsers offer it; the page works without.
navigator.serviceWorker?.register(new URL('worker.mjs', import.meta.url), { scope: './' }).catch(() => {});

customElements.define('velum-app', VelumApp);

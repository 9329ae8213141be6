// @ts-check
/** For operators: how the service is, who may use it, and which inference APIs it asks. */
import { getJson, metricsOf, Problem, request, send } from '../api.mjs';
import { ask } from '../parts/dialog.mjs';
import { h, size } from '../parts/dom.mjs';
import { errorNote } from '../parts/error_text.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { language, lengthText, t } from '../i18n.mjs';

/** @typedef {{ id: string, name: string, scopes: string[], state: string, created: number, expires: number | null }} Key */

const SCOPES = ['anonymize', 'review', 'operate'];

/** @param {number | null} seconds of the epoch */
const day = (seconds) => (seconds === null ? t('keys.never') : new Date(seconds * 1000).toLocaleDateString(language));

/** @param {unknown} error */
const why = (error) => (error instanceof Problem && error.status === 403 ? t('settings.denied') : undefined);

const PARTS = /** @type {const} */ (['model', 'disk', 'jobs', 'store']);
const RENEWED_MS = 10_000;

class VelumSettings extends HTMLElement {
  #state = h('section', { class: 'panel', 'aria-labelledby': 'state-title' });
  #timer = 0;
  #keys = h('section', { class: 'panel', 'aria-labelledby': 'keys-title' });
  #urls = h('section', { class: 'panel', 'aria-labelledby': 'urls-title' });

  async connectedCallback() {
    this.append(h('h1', {}, t('nav.settings')), this.#state, this.#keys, this.#urls);
    await Promise.all([this.#showState(), this.#showKeys(), this.#showUrls()]);
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
  }

  /** Whether it can work, what waits, and how much room is left; again after a while. */
  async #showState() {
    const title = h('h2', { id: 'state-title' }, t('ops.title'));
    try {
      // Where it is not ready, the service says so with 503.
      const health = await getJson('health/ready').catch((error) => (error instanceof Problem && error.status === 503 ? error.body : Promise.reject(error)));
      const counted = metricsOf(await request('metrics').then((answer) => answer.text())
        .catch((error) => (error instanceof Problem ? '' : Promise.reject(error))));
      const badge = (/** @type {string} */ text, /** @type {boolean} */ good) => h('span', { class: `badge ${good ? 'good' : 'bad'}` }, text);
      const rows = PARTS.filter((part) => health[part] !== 'off').map((part) => {
        const good = health[part] === 'ready' || health[part] === 'writable', known = good ? 'ready' : ['loading', 'unavailable'].includes(health[part]) ? health[part] : 'fault';
        return [t(`ops.${part}`), [badge(t(`ops.is.${known}`), good || known === 'loading'), known === 'fault' ? h('span', { class: 'small quiet', lang: 'en' }, ` ${health[part]}`) : '']];
      });
      if (counted.jobs) rows.push([t('ops.queue'), [t('ops.queued', counted.jobs), counted.jobs.wait ? ` ${t('ops.wait', { time: lengthText(counted.jobs.wait) })}` : '']]);
      if (counted.free !== null) rows.push([t('ops.free'), [size(counted.free)]]);
      this.#state.replaceChildren(h('div', { class: 'row between' }, title, badge(t(health.ready ? 'ops.works' : 'ops.fails'), health.ready)),
        h('table', {}, h('tbody', {}, ...rows.map(([name, what]) => h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, ...what))))));
    } catch (error) {
      this.#state.replaceChildren(title, errorNote(error));
    }
    if (this.isConnected) this.#timer = setTimeout(() => this.#showState(), RENEWED_MS);
  }

  /** @param {HTMLElement | null} secret that was made just now */
  async #showKeys(secret = null) {
    const title = h('h2', { id: 'keys-title' }, t('keys.title'));
    try {
      /** @type {{ keys: Key[], required: boolean }} */
      const { keys, required } = await getJson('v1/keys');
      this.#keys.replaceChildren(title, h('p', { class: 'quiet' }, t('keys.why')),
        ...(required ? [secret ?? '', this.#table(keys), this.#form()] : [h('p', { class: 'note warn' }, t('keys.open')), h('pre', {}, 'velum keys add NAME --scope anonymize --scope review --scope operate')]));
    } catch (error) {
      this.#keys.replaceChildren(title, errorNote(error, why(error)));
    }
  }

  /** @param {Key[]} keys */
  #table(keys) {
    return h('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': t('keys.title') }, h('table', {},
      h('thead', {}, h('tr', {}, ...['name', 'scopes', 'state', 'until'].map((column) => h('th', { scope: 'col' }, t(`keys.${column}`))), h('td', {}))),
      h('tbody', {}, ...keys.map((key) => h('tr', {},
        h('th', { scope: 'row' }, key.name, h('span', { class: 'quiet small number' }, ` ${key.id}`)),
        h('td', {}, key.scopes.map((scope) => t(`scope.${scope}`)).join(', ')),
        h('td', {}, h('span', { class: `badge ${key.state === 'valid' ? 'good' : ''}` }, t(`keys.${key.state}`))),
        h('td', {}, day(key.expires)),
        h('td', {}, key.state === 'valid' ? h('button', { type: 'button', class: 'danger', 'aria-label': t('keys.revokename', { name: key.name }), onclick: () => this.#revoke(key) }, t('keys.revoke')) : ''))))));
  }

  #form() {
    const name = h('input', { name: 'name', required: true, maxLength: 64, pattern: '[A-Za-z0-9_.@\\-]+', autocomplete: 'off' });
    const days = h('input', { name: 'days', type: 'number', min: '1', max: '36500' });
    const scopes = SCOPES.map((scope) => h('input', { type: 'checkbox', name: 'scope', value: scope, checked: scope === 'anonymize' }));
    return h('form', { class: 'stack', onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      const chosen = scopes.filter((box) => box.checked).map((box) => box.value);
      if (!chosen.length) return tell(t('keys.noscope'), 'bad');
      try {
        const { secret } = await send('POST', 'v1/keys', { name: name.value.trim(), scopes: chosen, ...(days.value ? { days: Number(days.value) } : {}) });
        await this.#showKeys(h('div', { class: 'note', role: 'status' }, h('p', {}, t('keys.once')), h('p', { class: 'row' }, h('code', { class: 'secret' }, secret),
          h('button', { type: 'button', onclick: () => navigator.clipboard.writeText(secret).then(() => tell(t('keys.copied'))) }, t('keys.copy')))));
      } catch (error) {
        tellError(error, why(error));
      }
    } },
    h('h3', {}, t('keys.new')),
    h('label', { class: 'field' }, h('span', {}, t('keys.name')), name),
    h('fieldset', {}, h('legend', {}, t('keys.scopes')), ...scopes.map((box) => h('label', { class: 'check' }, box, h('span', {}, t(`scope.${box.value}`))))),
    h('label', { class: 'field' }, h('span', {}, t('keys.days')), days),
    h('button', { type: 'submit', class: 'primary' }, t('keys.make')));
  }

  /** @param {Key} key */
  async #revoke(key) {
    if (!await ask({ title: t('keys.revokename', { name: key.name }), body: [h('p', {}, t('keys.revokewhy'))], ok: t('keys.revoke'), danger: true })) return;
    try {
      await send('DELETE', `v1/keys/${key.id}`);
    } catch (error) {
      tellError(error, why(error));
    }
    await this.#showKeys();
  }

  async #showUrls() {
    const title = h('h2', { id: 'urls-title' }, t('urls.title'));
    try {
      const { data, error } = await getJson('list_urls');
      if (error) throw new Error(error);
      /** @type {string[]} */
      const urls = data.urls;
      const field = h('input', { name: 'url', type: 'url', required: true, placeholder: 'http://inference:80/', autocomplete: 'off' });
      this.#urls.replaceChildren(title, h('p', { class: 'quiet' }, t('urls.why')),
        urls.length ? h('ul', { class: 'urls' }, ...urls.map((url) => h('li', { class: 'row between' }, h('code', {}, url),
          h('button', { type: 'button', class: 'danger', 'aria-label': t('urls.removename', { url }), onclick: () => this.#change('remove_url', url) }, t('urls.remove'))))) : h('p', {}, t('urls.none')),
        h('form', { class: 'row', onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          this.#change('set_url', field.value.trim().replace(/\/*$/, '/'));
        } }, h('label', { class: 'field' }, h('span', {}, t('urls.new')), field), h('button', { type: 'submit' }, t('urls.add'))));
    } catch (error) {
      this.#urls.replaceChildren(title, errorNote(error, why(error)));
    }
  }

  /** @param {string} what @param {string} url */
  async #change(what, url) {
    try {
      const { error, data } = await (await request(what, { method: 'POST', body: new URLSearchParams({ url }) })).json();
      tell(error || [data].flat().join(' '), error ? 'bad' : undefined);
      if (!error) await this.#showUrls();
    } catch (error) {
      tellError(error, why(error));
    }
  }
}
customElements.define('velum-settings', VelumSettings);

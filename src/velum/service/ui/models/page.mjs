// @ts-check
/** The models that the service has or can fetch, and what one of them finds in a picture. */
import { getJson, request, send } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { errorNote } from '../parts/error_text.mjs';
import { oneText } from '../photo/labels.mjs';
import { VelumProgress } from '../parts/progress.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { samplePicture } from '../start/sample_picture.mjs';
import { language, t } from '../i18n.mjs';
import { GOOD_FOR } from './good_for.mjs';
import './trainings.mjs';

/** @typedef {{ name: string, labels: string[], good_for: string | null, licence: string | null, here: boolean, obtainable: boolean | null, default: boolean, former: boolean }} Model */

const MOST_NAMED = 60;

/** @param {string[]} labels */
const named = (labels) => (labels.length > 6 ? t('models.many', { some: labels.slice(0, 5).map(oneText).join(', '), n: labels.length - 5 }) : labels.map(oneText).join(', '));

class VelumModels extends HTMLElement {
  #body = h('tbody', {});

  async connectedCallback() {
    this.append(h('h1', {}, t('nav.models')), h('p', { class: 'quiet' }, t('models.why')),
      h('div', { class: 'scroll panel models', tabIndex: 0, role: 'region', 'aria-label': t('nav.models') }, h('table', {},
        h('thead', {}, h('tr', {}, ...['name', 'finds', 'good', 'licence', 'here'].map((column) => h('th', { scope: 'col' }, t(`models.${column}`))))), this.#body)));
    const models = await this.#list();
    this.addEventListener('switched', () => this.#list());
    if (this.isConnected) this.append(document.createElement('velum-trainings'), this.#trial(models.filter(({ labels }) => labels.length)));
  }

  /** Show the models. @returns {Promise<Model[]>} */
  async #list() {
    /** @type {{ models: Model[] }} */
    const { models } = await getJson('v1/models');
    this.#body.replaceChildren(...models.map((model) => h('tr', {},
      h('th', { scope: 'row' }, model.name, model.default ? h('span', { class: 'badge good' }, t('models.default')) : null),
      h('td', { 'data-name': t('models.finds') }, named(model.labels)),
      h('td', { class: 'small', 'data-name': t('models.good') }, GOOD_FOR[language]?.[model.name] ?? model.good_for ?? ''), h('td', { class: 'small', 'data-name': t('models.licence') }, model.licence ?? ''),
      h('td', { 'data-name': t('models.here') }, h('span', { class: `badge ${model.here ? 'good' : ''}` }, t(model.here ? 'models.yes' : 'models.no')),
        !model.here && model.obtainable && model.labels.length ? h('button', { type: 'button', 'aria-label': t('models.fetch.name', { name: model.name }), onclick: (/** @type {Event} */ event) => this.#fetch(model, /** @type {HTMLElement} */ (event.currentTarget)) }, t('models.fetch')) : null,
        model.former ? h('button', { type: 'button', 'aria-label': t('models.former.name', { name: model.name }), onclick: () => this.#switchBack(model.name) }, t('models.former')) : null))));
    // The service is finding out what it could fetch: ask again soon.
    if (models.some(({ here, obtainable }) => !here && obtainable === null)) setTimeout(() => { if (this.isConnected) this.#list().catch(() => {}); }, 1500);
    return models;
  }

  /** Have the service fetch a model, as it does when one is used first: by looking through a picture that was drawn. @param {Model} model @param {HTMLElement} button */
  async #fetch(model, button) {
    const bar = /** @type {VelumProgress} */ (document.createElement('velum-progress'));
    button.replaceWith(bar);
    bar.set(null, t('models.fetching'), model.name);
    try {
      await this.#found(model, await samplePicture(t('start.sample')));
      tell(t('models.fetched', { name: model.name }));
    } catch (error) {
      tellError(error);
    }
    if (this.isConnected) await this.#list();
  }

  /** @param {string} name */
  async #switchBack(name) {
    try {
      await send('POST', `v1/models/${encodeURIComponent(name)}/switch-back`);
      tell(t('models.former.done', { name }));
      this.querySelector('velum-trainings')?.dispatchEvent(new Event('look'));
      await this.#list();
    } catch (error) {
      tellError(error);
    }
  }

  /** @param {Model[]} models */
  #trial(models) {
    const which = h('select', { name: 'model' }, ...models.map(({ name, here, default: usual }) => h('option', { value: name, selected: usual, disabled: !here }, here ? name : `${name} (${t('models.no')})`)));
    const file = h('input', { type: 'file', accept: 'image/*', hidden: true, name: 'trial', 'aria-hidden': 'true', tabIndex: -1 });
    const status = h('div', { role: 'status' }), canvas = h('canvas', { class: 'trial', hidden: true, role: 'img' });
    file.addEventListener('change', async () => {
      const [picture] = file.files ?? [], model = models.find(({ name }) => name === which.value);
      file.value = '';
      if (!picture || !model) return;
      status.className = '';
      status.textContent = t('models.trying');
      try {
        const begun = performance.now(), found = await this.#found(model, picture);
        const ms = Math.round(performance.now() - begun);
        status.textContent = t('models.found', { n: found.length, ms });
        canvas.setAttribute('aria-label', t('models.found', { n: found.length, ms }));
        await draw(canvas, picture, found);
        canvas.hidden = false;
      } catch (error) {
        status.className = '';
        status.replaceChildren(errorNote(error));
      }
    });
    return h('section', { class: 'panel', 'aria-labelledby': 'trial-title' }, h('h2', { id: 'trial-title' }, t('models.try')), h('p', { class: 'quiet' }, t('models.tryhow')),
      h('div', { class: 'row' }, h('label', { class: 'field' }, h('span', {}, t('models.name')), which), h('button', { type: 'button', onclick: () => file.click() }, t('models.pick'))), file, status, canvas);
  }

  /** @param {Model} model @param {File} picture @returns {Promise<import('../api.mjs').Region[]>} */
  async #found({ name, labels }, picture) {
    const body = new FormData();
    body.set('image', picture);
    body.set('plan', JSON.stringify({ rules: labels.map((label) => ({ label, locate: name, hide: 'blacken', grow: 0 })) }));
    const { frames } = await (await request('v1/locate', { method: 'POST', body })).json();
    return frames[0]?.regions ?? [];
  }
}

/** @param {HTMLCanvasElement} canvas @param {Blob} picture @param {import('../api.mjs').Region[]} found */
async function draw(canvas, picture, found) {
  const bitmap = await createImageBitmap(picture), scale = Math.min(1, 1600 / bitmap.width);
  Object.assign(canvas, { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  const paint = canvas.getContext('2d');
  if (!paint) return;
  paint.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  paint.font = '600 14px system-ui, sans-serif';
  for (const { xyxy, label, score } of found) {
    const [x0, y0, x1, y1] = xyxy.map((edge) => edge * scale);
    for (const [style, width] of /** @type {[string, number][]} */ ([['#000', 4], ['#5cc4b4', 2]])) {
      Object.assign(paint, { strokeStyle: style, lineWidth: width });
      paint.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
    if (found.length > MOST_NAMED) continue;
    const text = `${oneText(label)} ${Math.round((score ?? 1) * 100)} %`, y = Math.max(14, y0 - 4);
    Object.assign(paint, { strokeStyle: '#000', lineWidth: 4, fillStyle: '#fff' });
    paint.strokeText(text, x0, y);
    paint.fillText(text, x0, y);
  }
  bitmap.close();
}
customElements.define('velum-models', VelumModels);

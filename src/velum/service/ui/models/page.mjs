// @ts-check
/** The models that the service has or can fetch. */
import { getJson } from '../api.mjs';
import { h } from '../parts/dom.mjs';
import { t } from '../texts.mjs';

class VelumModels extends HTMLElement {
  async connectedCallback() {
    const body = h('tbody', {});
    this.append(h('h1', {}, t('nav.models')), h('p', { class: 'quiet' }, t('models.why')),
      h('div', { class: 'scroll panel', tabIndex: 0, role: 'region', 'aria-label': t('nav.models') }, h('table', {},
        h('thead', {}, h('tr', {}, ...['name', 'finds', 'good', 'licence', 'here'].map((one) => h('th', { scope: 'col' }, t(`models.${one}`))))), body)));
    const { models } = await getJson('v1/models');
    body.append(...models.map((/** @type {any} */ model) => h('tr', {},
      h('th', { scope: 'row' }, model.name, model.default ? h('span', { class: 'badge good' }, t('models.default')) : null),
      h('td', {}, model.labels.length > 6 ? t('models.many', { some: model.labels.slice(0, 5).join(', '), n: model.labels.length - 5 }) : model.labels.join(', ')),
      h('td', { class: 'small' }, model.good_for ?? ''), h('td', { class: 'small' }, model.licence ?? ''),
      h('td', {}, h('span', { class: `badge ${model.here ? 'good' : ''}` }, t(model.here ? 'models.yes' : 'models.no'))))));
  }
}
customElements.define('velum-models', VelumModels);

// @ts-check
import { h } from '../parts/dom.mjs';
import { t } from '../texts.mjs';

class VelumModels extends HTMLElement {
  connectedCallback() {
    this.append(h('h1', {}, t('nav.models')));
  }
}
customElements.define('velum-models', VelumModels);

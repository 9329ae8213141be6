// @ts-check
import { h } from '../parts/dom.mjs';
import { t } from '../texts.mjs';

class VelumSettings extends HTMLElement {
  connectedCallback() {
    this.append(h('h1', {}, t('nav.settings')));
  }
}
customElements.define('velum-settings', VelumSettings);

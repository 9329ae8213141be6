// @ts-check
import { h } from '../parts/dom.mjs';
import { t } from '../texts.mjs';

class VelumStart extends HTMLElement {
  connectedCallback() {
    this.append(h('h1', {}, t('nav.start')));
  }
}
customElements.define('velum-start', VelumStart);

// @ts-check
import { h } from '../parts/dom.mjs';
import { t } from '../texts.mjs';

class VelumPhoto extends HTMLElement {
  connectedCallback() {
    this.append(h('h1', {}, t('nav.photo')));
  }
}
customElements.define('velum-photo', VelumPhoto);

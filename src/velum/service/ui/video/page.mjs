// @ts-check
import { h } from '../parts/dom.mjs';
import { t } from '../texts.mjs';

class VelumVideo extends HTMLElement {
  connectedCallback() {
    this.append(h('h1', {}, t('nav.review')));
  }
}
customElements.define('velum-video', VelumVideo);

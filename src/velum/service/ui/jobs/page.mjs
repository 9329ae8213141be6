// @ts-check
import { h } from '../parts/dom.mjs';
import { t } from '../texts.mjs';

class VelumJobs extends HTMLElement {
  connectedCallback() {
    this.append(h('h1', {}, t('nav.jobs')));
  }
}
customElements.define('velum-jobs', VelumJobs);

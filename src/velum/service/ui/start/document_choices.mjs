// @ts-check
/** What can be chosen for documents: what becomes of the pages of PDFs, and which text is hidden. */
import { h } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';

/** Pixels an inch that a page may get, and the usual number (docs/documents.md). */
const DPIS = [150, 200, 300, 600], USUAL_DPI = 200;

/** Kinds of text that are hidden alone (docs/models.md). */
export const TEXT_KINDS = ['email', 'phone', 'iban', 'card', 'date', 'url', 'mrz', 'secret'];

/** @typedef {{ render: boolean, dpi: number }} Pdf what becomes of the pages of PDFs */

/** @param {Pdf} pdf */
export function pdfChoice(pdf) {
  const pages = h('select', { name: 'pdf', onchange: () => { pdf.render = pages.value === 'render'; say(); } },
    ...['keep', 'render'].map((name) => h('option', { value: name, selected: pdf.render === (name === 'render') }, t(`pdf.${name}`))));
  const dpi = h('select', { name: 'dpi', onchange: () => { pdf.dpi = Number(dpi.value); } },
    ...DPIS.map((n) => h('option', { value: n, selected: n === pdf.dpi }, String(n))));
  const sharp = h('label', { class: 'field effort' }, h('span', {}, t('pdf.dpi')), dpi), note = h('p', { class: 'small quiet under', 'aria-live': 'polite' });
  const say = () => {
    sharp.hidden = !pdf.render;
    note.textContent = t(pdf.render ? 'pdf.render.how' : 'pdf.keep.how');
  };
  say();
  return h('div', {}, h('div', { class: 'two' }, h('label', { class: 'field effort' }, h('span', {}, t('pdf')), pages), sharp), note);
}

/** @param {Set<string>} kinds that are hidden; all text where there are none */
export function textChoice(kinds) {
  const note = h('p', { class: 'small quiet under', 'aria-live': 'polite' });
  const say = () => { note.textContent = t(kinds.size ? 'text.some' : 'text.all'); };
  const pill = (/** @type {string} */ kind) => h('label', { class: 'pill' }, h('input', {
    type: 'checkbox', name: 'text-kind', value: kind, checked: kinds.has(kind), onchange: (/** @type {Event} */ event) => {
      kinds[/** @type {HTMLInputElement} */ (event.target).checked ? 'add' : 'delete'](kind);
      say();
    },
  }), h('span', {}, t(`text.${kind}`)));
  say();
  return h('details', { open: kinds.size > 0 }, h('summary', {}, t('text.which')), h('div', { class: 'pills' }, ...TEXT_KINDS.map(pill)), note);
}

/** Their part of a plan. @param {Pdf} pdf */
export const planOfPdf = ({ render, dpi }) => (render ? { pdf_pages: 'render', ...(dpi === USUAL_DPI ? {} : { pdf_dpi: dpi }) } : {});

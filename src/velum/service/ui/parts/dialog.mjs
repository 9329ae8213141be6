// @ts-check
import { h } from './dom.mjs';
import { t } from '../i18n.mjs';

/**
 * Ask something; resolves to whether it was confirmed. Focus goes in, stays in, and comes back.
 * @param {{ title: string, body?: (Node | string)[], ok?: string, cancel?: string, danger?: boolean, careful?: boolean }} what
 *   `careful`: the choice that does nothing is the highlighted one
 * @returns {Promise<boolean>}
 */
export function ask({ title, body = [], ok = t('ok'), cancel = t('cancel'), danger = false, careful = false }) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { 'aria-labelledby': 'dialog-title' },
      h('form', { method: 'dialog' },
        h('h2', { id: 'dialog-title' }, title), ...body,
        h('div', { class: 'row end' },
          !cancel ? '' : h('button', { type: 'button', class: careful ? 'primary' : '', autofocus: careful, onclick: () => dialog.close('') }, cancel),
          h('button', { type: 'submit', value: 'ok', class: danger ? 'danger' : careful ? '' : 'primary' }, ok))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'ok');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

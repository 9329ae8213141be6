// @ts-check
/** The topics of a sensor log: which of them the result has. */
import { ask } from '../parts/dialog.mjs';
import { h } from '../parts/dom.mjs';
import { t } from '../i18n.mjs';

/** @typedef {{ name: string, type: string, messages: number, kind: 'images' | 'video' | 'other', refused: string | null }} Topic */

/** A name as a pattern that stands for nothing else. @param {string} name */
const literal = (name) => name.replace(/[*?[]/g, '[$&]');

/** Names by which a pattern finds a topic (docs/logs.md). @param {string} name */
const namesOf = (name) => [name, name.slice(name.lastIndexOf('/') + 1), name.split('#')[0]];

/**
 * The part of a plan that gives a result these topics and no others; nothing where it has all.
 * @param {Topic[]} topics @param {ReadonlySet<string>} chosen
 * @returns {{ topics?: string[], drop_members?: string[] }}
 */
export function planOfTopics(topics, chosen) {
  const kept = topics.map(({ name }) => name).filter((name) => chosen.has(name)), left = topics.map(({ name }) => name).filter((name) => !chosen.has(name));
  if (!left.length || !kept.length) return {};
  // A pattern also finds topics that end with its name: these are left out by their own.
  const found = left.filter((name) => namesOf(name).some((other) => chosen.has(other)));
  return { topics: kept.map(literal), ...(found.length ? { drop_members: found.map(literal) } : {}) };
}

/**
 * Have people choose; null where they do not want to.
 * @param {Topic[]} topics @param {ReadonlySet<string> | null} before what was chosen before
 * @returns {Promise<Set<string> | null>}
 */
export async function chooseTopics(topics, before) {
  const able = topics.filter(({ refused }) => refused === null);
  const chosen = new Set((before ? able.filter(({ name }) => before.has(name)) : able).map(({ name }) => name));
  const count = h('p', { class: 'small', role: 'status' }), list = h('ul', { class: 'topics' }, ...topics.map((topic) => row(topic, chosen, () => say())));
  const say = () => {
    count.className = chosen.size ? 'small quiet' : 'small note bad';
    count.textContent = t(chosen.size ? 'topics.count' : 'topics.none', { n: chosen.size, all: topics.length });
    const ok = count.closest('form')?.querySelector('button[type=submit]');
    if (ok) /** @type {HTMLButtonElement} */ (ok).disabled = !chosen.size;
  };
  const answer = ask({ title: t('topics.title'), body: [h('p', {}, t('topics.why')), list, count], ok: t('topics.ok') });
  say();
  return await answer ? chosen : null;
}

/** @param {Topic} topic @param {Set<string>} chosen @param {() => void} changed */
function row({ name, type, messages, kind, refused }, chosen, changed) {
  const box = h('input', { type: 'checkbox', name: 'topic', value: name, checked: chosen.has(name), disabled: refused !== null, onchange: () => {
    chosen[box.checked ? 'add' : 'delete'](name);
    changed();
  } });
  return h('li', {}, h('label', { class: 'check' }, box, h('span', {}, h('strong', {}, name), ' ', h('span', { class: 'small quiet' }, `${type} · ${t('topics.messages', { n: messages })}`),
    h('span', { class: 'small topic-kind' }, t(refused === null ? `topics.${kind}` : 'topics.refused')))), refused === null ? '' : h('p', { class: 'small quiet', lang: 'en' }, refused));
}

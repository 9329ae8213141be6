// @ts-check
/** What a reviewer does and has not applied yet: kept by the service with the job, soon after each change. */
import { connection, Problem, request, send } from '../api.mjs';
import { h } from './dom.mjs';
import { clock, t } from '../i18n.mjs';

const PAUSE_MS = 600;

/** @typedef {Record<string, any>} Body */

/** Events: `change` when it is saved, or not; `conflict` when somebody else has saved meanwhile. */
export class Draft extends EventTarget {
  /** @type {'' | 'saving' | 'saved' | 'lost' | 'conflict'} */
  state = '';
  at = 0;
  /** Who else has saved. @type {string | null} */
  who = null;
  #path;
  #version = 0;
  /** @type {{ body: Body, edited: boolean } | null} */
  #wanted = null;
  #timer = 0;
  /** @type {Promise<void> | null} */
  #sending = null;
  /** Whether what it has is being applied: then nothing is saved. */
  #held = false;

  /** @param {string} id of the job @param {AbortSignal} signal when the page is left */
  constructor(id, signal) {
    super();
    this.#path = `v1/jobs/${encodeURIComponent(id)}/draft`;
    connection.addEventListener('back', () => this.flush(), { signal });
    addEventListener('visibilitychange', () => { if (document.hidden) this.flush(); }, { signal });
    addEventListener('beforeunload', (event) => { if (this.#wanted) event.preventDefault(); }, { signal });
  }

  /** What was saved last, null for nothing. @returns {Promise<Body | null>} */
  async load() {
    const answer = await request(this.#path);
    const draft = answer.status === 204 ? null : await answer.json();
    [this.#version, this.at, this.#wanted] = [draft?.version ?? 0, draft?.at ?? 0, null];
    this.#tell(draft ? 'saved' : '');
    return draft?.body ?? null;
  }

  /** Save this soon. @param {Body} body @param {boolean} edited whether the result lacks some of it */
  set(body, edited) {
    if (this.state === 'conflict') return;
    this.#wanted = { body, edited };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), PAUSE_MS);
    this.#tell('saving');
  }

  /** Save what is not saved yet; whether all is. @returns {Promise<boolean>} */
  async flush() {
    clearTimeout(this.#timer);
    if (this.#held) return true;
    while (this.#wanted && this.state !== 'conflict') {
      this.#sending ??= this.#send(this.#wanted).finally(() => { this.#sending = null; });
      await this.#sending;
      if (this.state === 'lost') return false;
    }
    return !this.#wanted;
  }

  /** Have this stand, whatever others have saved. */
  async insist() {
    const wanted = this.#wanted;
    this.state = '';
    await this.load();
    this.#wanted = wanted;
    return this.flush();
  }

  /** Save nothing while corrections are applied. */
  async hold() {
    clearTimeout(this.#timer);
    this.#held = true;
    await this.#sending;
  }

  /** The service has the corrections themselves now, and has deleted the draft of them. */
  stored() {
    [this.#version, this.#wanted] = [0, null];
    this.#tell('');
  }

  /** Corrections could not be applied: go on as before. */
  release() {
    this.#held = false;
    return this.flush();
  }

  /** The service has deleted it, because it was applied; `body` is what is still to be kept, such as decisions. @param {Body} body */
  async applied(body) {
    [this.#version, this.#wanted, this.state, this.#held] = [0, { body, edited: false }, '', false];
    await this.flush();
  }

  /** @param {{ body: Body, edited: boolean }} wanted */
  async #send(wanted) {
    try {
      const { version, at } = await send('PUT', this.#path, { version: this.#version, ...wanted });
      [this.#version, this.at] = [version, at];
      if (this.#wanted === wanted) this.#wanted = null;
      this.#tell(this.#wanted ? 'saving' : 'saved');
    } catch (error) {
      if (error instanceof Problem && error.status === 412) {
        // Where no keys are used, nobody has a name.
        this.who = error.body.who === 'anonymous' ? null : error.body.who ?? null;
        this.#tell('conflict');
        this.dispatchEvent(new Event('conflict'));
      } else {
        // Tried again when the service is back, and with the next change.
        this.#tell('lost');
        if (!(error instanceof Problem && error.status === 0)) this.#timer = setTimeout(() => this.flush(), 5000);
      }
    }
  }

  /** @param {Draft['state']} state */
  #tell(state) {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }
}

/**
 * Says whether the draft is saved; after a conflict, asks which one is to stand.
 * @param {Draft} draft @param {AbortSignal} signal
 */
export function draftStatus(draft, signal) {
  const place = h('span', { class: 'small quiet draft', role: 'status' });
  const show = () => {
    place.className = `small draft ${draft.state === 'lost' || draft.state === 'conflict' ? 'warn-text' : 'quiet'}`;
    if (draft.state === 'conflict') {
      place.replaceChildren(h('div', { class: 'note warn' }, h('p', {}, t(draft.who ? 'draft.conflict.who' : 'draft.conflict', { who: draft.who ?? '' })), h('div', { class: 'row' },
        h('button', { type: 'button', class: 'primary', onclick: () => location.reload() }, t('draft.theirs')),
        h('button', { type: 'button', onclick: () => draft.insist() }, t('draft.mine')))));
    } else place.replaceChildren(draft.state === 'saved' ? t('draft.saved', { at: clock(draft.at) }) : draft.state ? t(`draft.${draft.state}`) : '');
  };
  draft.addEventListener('change', show, { signal });
  show();
  return place;
}

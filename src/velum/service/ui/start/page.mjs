// @ts-check
/** Where files come in: drop, choose what to hide and how, start, watch, fetch. */
import { getJson } from '../api.mjs';
import { h, icon, ICONS, size } from '../parts/dom.mjs';
import { VelumProgress } from '../parts/progress.mjs';
import { applyPending, saveResult } from '../parts/result.mjs';
import { errorNote, failure } from '../parts/error_text.mjs';
import { keptText } from '../parts/kept.mjs';
import { thumbnail } from '../parts/thumbnail.mjs';
import { tell, tellError } from '../parts/toast.mjs';
import { labelText } from '../photo/labels.mjs';
import { left, t } from '../i18n.mjs';
import { batch, dropped } from './batch.mjs';
import { pdfChoice, planOfPdf, textChoice } from './document_choices.mjs';
import { accepted, isContainer, isLog, isPdf, isSound, isVideo, loadFileTypes } from './file_types.mjs';
import { COMMON, EFFORTS, finders, planOf, planOfSound, SOUNDS, TECHNIQUES, VOICES } from './plan.mjs';
import { samplePicture } from './sample_picture.mjs';
import { sharedFiles } from './shared_files.mjs';
import { sample } from './technique_preview.mjs';
import { chooseTopics } from './topics.mjs';

/** @typedef {import('./batch.mjs').Item} Item */

/** What was chosen stays while other pages are looked at. */
const choice = { labels: new Set(['face']), technique: 'blacken', effort: 'balanced', audio: 'copy', voices: 'speech-mute', pdf: { render: false, dpi: 200 }, kinds: /** @type {Set<string>} */ (new Set()), /** @type {Record<string, number>} */ degrees: Object.fromEntries(TECHNIQUES.map(({ name, usual }) => [name, usual])), people: /** @type {import('./batch.mjs').People} */ ({ mode: 'keep', persons: [] }) };
/** @type {{ labels: import('./plan.mjs').Label[], models: import('./plan.mjs').Model[], people: boolean, speech: boolean }} */
const offered = { labels: [], models: [], people: false, speech: true };

class VelumStart extends HTMLElement {
  #list = h('section', { 'aria-label': t('start.files') });
  #status = h('p', { class: 'hidden-text', role: 'status' });
  #what = h('fieldset', { class: 'panel' });
  #how = h('fieldset', { class: 'panel' });
  #go = h('button', { type: 'button', class: 'primary big', onclick: () => this.#start() });
  /** What is looked for in what can be seen. */
  #seen = h('div');
  /** What becomes of sound files, while there are some. */
  #forSounds = h('div', { hidden: true });
  /** What becomes of the pages of PDFs, while there are some, and which text is hidden, where that is. */
  #forPdfs = h('div', { hidden: true }, pdfChoice(choice.pdf));
  #forText = h('div', { hidden: true }, textChoice(choice.kinds));
  #pick = h('input', { type: 'file', multiple: true, hidden: true, 'aria-hidden': 'true', tabIndex: -1 });
  #zone = this.#dropZone();
  /** @type {Map<Item, HTMLElement>} */
  #rows = new Map();
  #gone = new AbortController();
  #frame = 0;

  connectedCallback() {
    this.append(
      h('div', { class: 'hero' }, h('h1', {}, t('start.title')), h('p', { class: 'quiet' }, t('start.sub'))),
      this.#zone, this.#list, this.#status,
      h('div', { class: 'choices' }, this.#what, this.#how), h('div', { class: 'go' }, this.#go));
    this.#showHow();
    this.#showFiles();
    const signal = this.#gone.signal;
    batch.addEventListener('change', () => { this.#frame ||= requestAnimationFrame(() => this.#showFiles()); }, { signal });
    for (const name of /** @type {const} */ (['dragover', 'dragleave', 'drop'])) addEventListener(name, (event) => this.#drag(event), { signal });
    addEventListener('paste', (event) => {
      const files = [...event.clipboardData?.files ?? []];
      if (files.length) this.#add(files.map((file) => ({ file, path: file.name })));
    }, { signal });
    this.#load();
    sharedFiles().then((files) => { if (files.length) this.#add(files.map((file) => ({ file, path: file.name }))); });
    batch.resume().catch(() => {}); // what is in work shows in the list of jobs, too
  }

  disconnectedCallback() {
    this.#gone.abort();
    cancelAnimationFrame(this.#frame);
  }

  async #load() {
    if (!offered.labels.length) {
      this.#what.replaceChildren(h('legend', {}, t('start.what')), h('p', { class: 'quiet' }, '…'));
      try {
        const [{ labels }, { models }, { people, speech }] = await Promise.all([getJson('v1/labels'), getJson('v1/models'), getJson('v1/plans'), loadFileTypes()]);
        Object.assign(offered, { labels, models, people, speech });
        if (!speech) choice.voices = 'silence';
      } catch (error) {
        this.#what.replaceChildren(h('legend', {}, t('start.what')), errorNote(error), h('button', { type: 'button', onclick: () => this.#load() }, t('start.retry')));
        return;
      }
    }
    this.#pick.accept = accepted();
    this.#showWhat();
    this.#showGo();
    // The service is finding out what it could fetch: ask again soon.
    if (this.#unknown()) setTimeout(() => this.#renew(), 1500);
  }

  #unknown() {
    return offered.models.some(({ here, obtainable }) => !here && obtainable === null);
  }

  async #renew() {
    if (!this.isConnected) return;
    const answers = await Promise.all([getJson('v1/labels'), getJson('v1/models')]).catch(() => null);
    if (answers) Object.assign(offered, { labels: answers[0].labels, models: answers[1].models });
    await this.#load();
  }

  #dropZone() {
    const pick = this.#pick;
    const folder = h('input', { type: 'file', webkitdirectory: true, multiple: true, hidden: true, 'aria-hidden': 'true', tabIndex: -1, name: 'folder' });
    const camera = h('input', { type: 'file', accept: 'image/*', capture: 'environment', hidden: true, 'aria-hidden': 'true', tabIndex: -1, name: 'camera' });
    for (const input of [pick, folder, camera]) {
      input.addEventListener('change', () => {
        this.#add([...input.files ?? []].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
        input.value = '';
      });
    }
    return h('div', { class: 'drop' },
      icon('M12 16V4m-5 5l5-5 5 5M4 16v4h16v-4'),
      h('p', { class: 'drop-text' }, t('start.drop')),
      h('div', { class: 'row' },
        h('button', { type: 'button', onclick: () => pick.click() }, t('start.pick')),
        h('button', { type: 'button', onclick: () => folder.click() }, t('start.folder')),
        h('button', { type: 'button', class: 'camera', onclick: () => camera.click() }, icon(ICONS.camera), t('start.camera'))),
      h('p', { class: 'quiet small' }, t('start.kinds')),
      h('p', { class: 'small try' }, t('start.try.why'), ' ', h('button', { type: 'button', class: 'plain small', onclick: () => this.#try() }, t('start.try'))), pick, folder, camera);
  }

  /** Show what it does, with a picture that nobody has to hand in. */
  async #try() {
    const file = await samplePicture(t('start.sample'));
    await this.#add([{ file, path: file.name }]);
    if (!this.#go.disabled) this.#start();
  }

  /** @param {DragEvent} event */
  async #drag(event) {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    this.#zone.classList.toggle('over', event.type === 'dragover');
    if (event.type === 'drop') this.#add(await dropped(event.dataTransfer));
  }

  /** @param {{ file: File, path: string }[]} files */
  async #add(files) {
    await loadFileTypes().catch(() => null); // without an answer the service itself refuses what it cannot read
    const before = batch.items.length;
    batch.add(files);
    const added = batch.items.length - before;
    this.#status.textContent = t('start.added', { n: added });
    this.#showFiles();
    if (added) this.#go.focus({ preventScroll: true });
  }

  #showWhat() {
    const had = offered.labels.filter((label) => finders(label, offered.models).use.length);
    const cannot = offered.labels.filter((label) => !had.includes(label));
    for (const { label } of cannot) choice.labels.delete(label);
    const usual = COMMON.flatMap((name) => had.filter(({ label }) => label === name));
    const more = had.filter(({ label }) => !COMMON.includes(label));
    const missed = cannot.filter(({ label }) => COMMON.includes(label));
    const box = (/** @type {import('./plan.mjs').Label} */ label) => {
      const { here } = finders(label, offered.models);
      return h('label', { class: here ? 'pill' : 'pill away' }, h('input', {
        type: 'checkbox', name: 'label', 'aria-describedby': here ? null : 'away', value: label.label, checked: choice.labels.has(label.label),
        onchange: (/** @type {Event} */ event) => {
          if (/** @type {HTMLInputElement} */ (event.target).checked) choice.labels.add(label.label);
          else choice.labels.delete(label.label);
          this.#showGo();
        },
      }), h('span', {}, labelText(label.label)));
    };
    const effort = h('select', { name: 'effort', onchange: () => { choice.effort = effort.value; } },
      ...EFFORTS.map((name) => h('option', { value: name, selected: name === choice.effort }, t(`effort.${name}`))));
    const sound = h('select', { name: 'audio', onchange: () => { choice.audio = sound.value; } },
      ...SOUNDS.map((name) => h('option', { value: name, selected: name === choice.audio }, t(`sound.${name}`))));
    const all = more.map(box);
    const search = h('input', { type: 'search', placeholder: t('start.search'), 'aria-label': t('start.search'), oninput: () => {
      const sought = search.value.trim().toLowerCase();
      for (const pill of all) pill.hidden = !(pill.textContent ?? '').toLowerCase().includes(sought);
    } });
    this.#seen.replaceChildren(
      h('div', { class: 'pills' }, ...usual.map(box)),
      more.length ? h('details', {}, h('summary', {}, t('start.more', { n: more.length })), search, h('div', { class: 'pills many' }, ...all)) : '',
      this.#forText, this.#unknown() || !missed.length ? '' : h('p', { class: 'quiet small' }, t('start.cannot', { labels: missed.map(({ label }) => labelText(label)).join(', ') })),
      had.every((label) => finders(label, offered.models).here) ? '' : h('p', { class: 'quiet small away-note', id: 'away' }, t('start.nothere')),
      h('div', { class: 'two' }, h('label', { class: 'field effort' }, h('span', {}, t('start.effort')), effort), h('label', { class: 'field effort' }, h('span', {}, t('sound')), sound)),
      offered.people ? this.#who() : '');
    this.#what.replaceChildren(h('legend', {}, t('start.what')), h('div', {}, this.#seen, this.#forPdfs, this.#forSounds));
  }

  /** Choose people by photos: who stays visible, or who alone is hidden. @param {boolean} [open] */
  #who(open = choice.people.persons.length > 0) {
    const { people } = choice;
    const mode = h('select', { 'aria-label': t('start.who'), onchange: () => { people.mode = /** @type {'keep' | 'only'} */ (mode.value); } },
      ...['keep', 'only'].map((name) => h('option', { value: name, selected: name === people.mode }, t(`start.who.${name}`))));
    const name = h('input', { type: 'text', name: 'person', maxLength: 100, placeholder: t('start.who.name'), 'aria-label': t('start.who.name') });
    const pick = h('input', { type: 'file', accept: 'image/*', multiple: true, hidden: true, 'aria-hidden': 'true', tabIndex: -1, name: 'photo', onchange: () => {
      const called = name.value.trim() || t('gallery.person', { n: people.persons.length + 1 });
      const known = people.persons.find((person) => person.name === called);
      if (known) known.photos.push(...pick.files ?? []);
      else people.persons.push({ name: called, photos: [...pick.files ?? []] });
      place.replaceWith(this.#who());
    } });
    const place = h('details', { class: 'who', open }, h('summary', {}, t('start.who')),
      h('p', { class: 'note warn small' }, t('start.who.warning')), mode,
      h('ul', { class: 'files' }, ...people.persons.map((person) => h('li', { class: 'row between' }, h('span', {}, person.name, ' ', h('span', { class: 'quiet small' }, t('start.who.photos', { n: person.photos.length }))),
        h('button', { type: 'button', class: 'plain', 'aria-label': t('start.removename', { name: person.name }), onclick: () => {
          people.persons = people.persons.filter((other) => other !== person);
          place.replaceWith(this.#who(true));
        } }, icon(ICONS.close))))),
      h('div', { class: 'row' }, name, h('button', { type: 'button', onclick: () => pick.click() }, t('start.who.photo'))), pick);
    return place;
  }

  /** What becomes of sound files; shown with the first of them. */
  #showSounds() {
    const place = this.#forSounds;
    place.hidden = !batch.items.some(({ state, file }) => state === 'ready' && isSound(file.name));
    if (place.hidden || place.firstChild || !offered.labels.length) return;
    const note = h('p', { class: 'small under', 'aria-live': 'polite' });
    const say = () => {
      note.className = choice.voices === 'voice' || !offered.speech ? 'small note warn under' : 'small quiet under';
      note.textContent = !offered.speech ? t('sound.nospeech') : choice.voices === 'voice' ? t('sound.weak') : choice.voices === 'silence' ? '' : t('sound.files.how');
    };
    const voices = h('select', { name: 'voices', onchange: () => { choice.voices = voices.value; say(); } },
      ...VOICES.map((name) => h('option', { value: name, selected: name === choice.voices, disabled: !offered.speech && name !== 'silence' }, t(name === 'silence' ? 'sound.silence.all' : `sound.${name}`))));
    place.replaceChildren(h('label', { class: 'field effort' }, h('span', {}, t('sound.files')), voices), note);
    say();
  }

  #showHow() {
    const cards = TECHNIQUES.map(({ name }) => {
      const canvas = h('canvas', { 'aria-hidden': 'true' });
      sample(canvas, name, choice.degrees[name]);
      return h('label', { class: 'card' }, h('input', {
        type: 'radio', name: 'technique', value: name, checked: name === choice.technique,
        onchange: () => {
          choice.technique = name;
          this.#showDegree(degree, cards);
        },
      }), canvas, h('span', {}, t(`technique.${name}`)));
    });
    const degree = h('div', {});
    this.#how.replaceChildren(h('legend', {}, t('start.how')), h('div', { class: 'cards' }, ...cards), degree);
    this.#showDegree(degree, cards);
  }

  /** @param {HTMLElement} place @param {HTMLElement[]} cards */
  #showDegree(place, cards) {
    const at = TECHNIQUES.findIndex(({ name }) => name === choice.technique);
    const { name, least, weak } = TECHNIQUES[at];
    const note = h('p', { class: 'small quiet', 'aria-live': 'polite' });
    const say = () => {
      const bad = weak(choice.degrees[name]);
      note.className = bad ? 'small note warn' : 'small quiet';
      note.textContent = t(bad ? `weak.${name}` : `about.${name}`);
    };
    const range = h('input', { type: 'range', min: String(least), max: '1', step: '0.02', value: String(choice.degrees[name]), name: 'degree', oninput: () => {
      choice.degrees[name] = Number(range.value);
      sample(/** @type {HTMLCanvasElement} */ (cards[at].querySelector('canvas')), name, choice.degrees[name]);
      say();
    } });
    place.replaceChildren(h('label', { class: 'field' }, h('span', {}, t('start.degree')), range), note);
    say();
  }

  #start() {
    const degree = choice.degrees[choice.technique];
    const plan = planOf({ labels: [...choice.labels], technique: choice.technique, degree, effort: choice.effort, audio: choice.audio, kinds: [...choice.kinds] }, offered.labels, offered.models);
    const ofSound = planOfSound(choice.voices), ofDocument = this.#forPdfs.hidden ? plan : { ...plan, ...planOfPdf(choice.pdf) };
    batch.start((name) => (isSound(name) ? ofSound : isContainer(name) ? ofDocument : plan), offered.people ? choice.people : null);
    this.#list.scrollIntoView({ block: 'nearest' });
  }

  #showGo() {
    const waiting = batch.items.filter(({ state }) => state === 'ready'), ready = waiting.length;
    // In sound, nothing is looked for that can be seen.
    this.#seen.hidden = this.#how.hidden = ready > 0 && waiting.every(({ file }) => isSound(file.name));
    const named = choice.labels.size > 0 || this.#how.hidden;
    this.#go.disabled = !ready || !named || !offered.labels.length;
    this.#showSounds();
    this.#forPdfs.hidden = !offered.labels.length || !waiting.some(({ file }) => isPdf(file.name));
    this.#forText.hidden = !choice.labels.has('text');
    this.#go.parentElement?.classList.toggle('ready', ready > 0);
    this.#go.hidden = !ready && batch.items.length > 0;
    this.#go.textContent = !named ? t('start.nothing') : ready ? t('start.go', { n: ready }) : t('start.first');
  }

  #showFiles() {
    this.#frame = 0;
    this.#showGo();
    const { items, done } = batch;
    this.#zone.classList.toggle('small-zone', items.length > 0);
    this.classList.toggle('working', items.length > 0);
    if (!items.length && !batch.left.length) return this.#list.replaceChildren();
    if (!this.#list.firstChild) this.#list.append(h('div', { class: 'row between' }), h('ul', { class: 'files' }), h('div'));
    this.#showLeft(/** @type {HTMLElement} */ (this.#list.children[2]));
    const [head, list] = /** @type {HTMLElement[]} */ ([...this.#list.children]);
    list.hidden = !items.length;
    const summary = items.length ? t('start.summary', { done: done.length, all: items.length }) : '';
    if (head.dataset.summary !== `${summary}${done.length}${offered.people}`) {
      head.dataset.summary = `${summary}${done.length}${offered.people}`;
      const ids = done.flatMap(({ job }) => (job?.regions && job.source_kept ? [job.id] : []));
      head.replaceChildren(h('h2', {}, summary), offered.people && ids.length > 1 ? h('a', { class: 'button', href: `#/people/${ids.join(',')}` }, t('jobs.people', { n: ids.length })) : '', done.length > 1 ? h('button', { type: 'button', onclick: (/** @type {Event} */ event) => this.#zip(event) }, icon(ICONS.download), done.length < items.length ? t('start.zip.some', { n: done.length, all: items.length }) : t('start.zip')) : '');
      this.#status.textContent = summary;
    }
    for (const [item, row] of this.#rows) {
      if (!items.includes(item)) {
        row.remove();
        this.#rows.delete(item);
      }
    }
    for (const item of items) {
      let row = this.#rows.get(item);
      if (!row) this.#rows.set(item, row = h('li', {}));
      if (!row.parentNode) list.append(row);
      this.#showRow(item, row);
    }
  }

  /** Which files were left out, why, and what to do. @param {HTMLElement} place */
  #showLeft(place) {
    const names = batch.left;
    if (place.dataset.left === String(names.length)) return;
    place.dataset.left = String(names.length);
    place.replaceChildren(!names.length ? '' : h('div', { class: 'note warn left-out', role: 'alert' },
      h('div', { class: 'row between' }, h('strong', {}, t('start.skipped', { n: names.length })), h('button', { type: 'button', class: 'plain', 'aria-label': t('close'), title: t('close'), onclick: () => { batch.left.length = 0; this.#showFiles(); } }, icon(ICONS.close))),
      h('ul', { class: 'small' }, ...names.slice(0, 20).map(({ path, why }) => h('li', {}, h('strong', {}, path), ` – ${t(`left.${why}`)}`)), names.length > 20 ? h('li', {}, t('start.more.files', { n: names.length - 20 })) : '')));
  }

  /** @param {Item} item @param {HTMLElement} row @returns {void} */
  #showRow(item, row) {
    const bar = /** @type {VelumProgress | null} */ (row.querySelector('velum-progress'));
    const working = item.state === 'uploading' || item.state === 'waiting' || item.state === 'running';
    // The row is built anew when its state changes; in between only its bar moves, so that focus stays.
    const told = item.state + item.error + (item.chosen?.size ?? '');
    if (row.dataset.state !== told) {
      row.dataset.state = told;
      row.replaceChildren(h('div', { class: 'file-name with-picture' }, item.state === 'done' && item.job ? thumbnail(item.job) : this.#own(item), h('div', { class: 'file-name' }, h('span', {}, item.path), h('span', { class: 'quiet small number' }, item.file.size ? size(item.file.size) : ''))), this.#outcome(item, working), this.#acts(item));
      return this.#showRow(item, row);
    }
    if (bar) {
      const { frames, seconds_left: seconds = null } = item.job ?? {};
      const share = item.state === 'uploading' ? item.sent : frames?.total ? frames.done / frames.total : null;
      const percent = share === null ? '' : `${Math.round(share * 100)} %`;
      bar.set(share, [t(`state.${item.state}`), percent, left(seconds)].filter(Boolean).join(' · '), item.file.name);
    }
  }

  /** The file itself, as far as the browser shows it. @param {Item} item */
  #own({ file }) {
    const image = h('img', { alt: '', draggable: false });
    // Large ones would be decoded in full for a picture of a few pixels.
    if (file.type.startsWith('image/') && file.size < 20e6) {
      image.src = URL.createObjectURL(file);
      image.addEventListener('load', () => URL.revokeObjectURL(image.src), { once: true });
      image.addEventListener('error', () => image.remove(), { once: true });
    }
    return h('span', { class: 'picture' }, icon(isSound(file.name) ? ICONS.sound : ICONS.box), image.src ? image : '');
  }

  /** @param {Item} item @param {boolean} working */
  #outcome(item, working) {
    if (working) return h('div', {}, document.createElement('velum-progress'), item.error ? h('p', { class: 'small note warn' }, t('error.retrying')) : '');
    if (item.state === 'ready') return h('span', { class: 'quiet small' }, item.chosen ? t('topics.count', { n: item.chosen.size, all: item.topics?.length ?? 0 }) : t('state.ready'));
    if (item.state !== 'done') return h('div', { class: 'small bad' }, item.job?.error ? failure(item.job.error) : [item.error || t(`state.${item.state}`), item.detail ? h('details', {}, h('summary', {}, t('error.more')), h('p', { lang: 'en' }, item.detail)) : '']);
    if (item.hidden === null) return h('span', { class: 'badge warn' }, t('result.unread'));
    return item.hidden ? h('div', { class: 'row' }, h('span', { class: 'badge good' }, item.what ?? ''), item.job ? h('span', { class: 'small quiet kept' }, keptText(item.job)) : '') : h('span', { class: 'badge warn' }, t(isSound(item.file.name) ? 'sound.done.none' : 'start.none'));
  }

  /** @param {Item} item */
  #acts(item) {
    const job = item.job, name = item.file.name;
    const drop = h('button', { type: 'button', class: 'plain', title: t('start.remove'), 'aria-label': t('start.removename', { name }), onclick: () => batch.drop(item) }, icon(ICONS.close));
    if (item.state === 'done' && job) {
      return h('div', { class: 'row end' },
        h('a', { class: 'button', href: isVideo(name) ? `#/review/${job.id}` : `#/jobs/${job.id}`, 'aria-label': t('start.lookname', { name }) }, icon(ICONS.eye), t('start.look')),
        h('button', { type: 'button', 'aria-label': t('start.downloadname', { name }), title: t('download'), onclick: () => saveResult(job.id) }, icon(ICONS.download)), drop);
    }
    const again = ['failed', 'dead', 'cancelled'].includes(item.state) ? h('button', { type: 'button', onclick: () => batch.again(item) }, t('start.retry')) : '';
    const topics = isLog(name) && item.file.size && ['ready', 'failed'].includes(item.state) ? h('button', { type: 'button', 'aria-label': t('topics.name', { name }), onclick: () => this.#topics(item) }, icon(ICONS.list), t('topics')) : '';
    return h('div', { class: 'row end' }, topics, again, drop);
  }

  /** Choose which topics of a log the result has. @param {Item} item */
  async #topics(item) {
    try {
      const chosen = await chooseTopics(await batch.learnTopics(item), item.chosen ?? null);
      if (chosen) batch.choose(item, chosen);
    } catch (error) {
      if (!item.stop.signal.aborted) tellError(error);
    }
  }

  /** @param {Event} event */
  async #zip(event) {
    const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
    button.disabled = true;
    try {
      if (!await applyPending(batch.done.map(({ job }) => job?.id ?? ''))) return;
      const link = h('a', { href: URL.createObjectURL(await batch.zipped()), download: 'velum.zip' });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      if (error instanceof RangeError) tell(t('start.ziplarge'), 'bad');
      else tellError(error);
    } finally {
      button.disabled = false;
    }
  }
}
customElements.define('velum-start', VelumStart);

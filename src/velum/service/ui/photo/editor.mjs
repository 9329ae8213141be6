// @ts-check
/** Looking at a picture before and after, and correcting what is hidden in it. */
import { Crops } from '../parts/crop.mjs';
import { h, icon, ICONS } from '../parts/dom.mjs';
import { techniqueField } from '../parts/technique_field.mjs';
import { remarks } from '../parts/remarks.mjs';
import { VelumViewer } from '../parts/viewer.mjs';
import { t } from '../i18n.mjs';
import { add, change, History, likewise, moved, place, remove, similar, stateOf } from './edits.mjs';
import { drawRegions, drawWay } from './overlay.mjs';
import { regionList } from './list.mjs';
import { hiddenText, oneText } from './labels.mjs';
import { boxing, brushing, outlining, selecting } from './tools.mjs';

/** @typedef {import('./edits.mjs').State} State */
/** @typedef {import('./tools.mjs').ToolName} ToolName */
/**
 * @typedef {{ before: ImageBitmap | null, after: ImageBitmap }} Pictures
 * @typedef {{ pages: import('../api.mjs').Region[][], drawn: ReturnType<typeof import('./labels.mjs').drawnLabels>, warnings: string[],
 *   canCorrect: boolean, show: (page: number) => Promise<Pictures> }} Opened `pages`: the regions of each; `show` gives its pictures
 */

/** What was used last: on the way through the queue, the next file is gone on with in the same way. @type {{ correcting: boolean, tool: ToolName }} */
const last = { correcting: false, tool: 'select' };

/** Events: `render`; `edit` after each change of the regions; `page` when another page is shown. */
export class VelumEditor extends HTMLElement {
  /** One for each page. */
  histories = [new History(/** @type {import('./edits.mjs').State} */ ([]))];
  page = 0;
  /** Pages that were shown. @type {Set<number>} */
  seen = new Set();
  viewer = /** @type {VelumViewer} */ (document.createElement('velum-viewer'));
  selected = 0;
  label = '';
  brush = 20;
  /** @type {{ id: number, xyxy: number[] } | null} */
  moving = null;
  /** @type {number[] | null} */
  drawing = null;
  /** @type {import('../parts/viewer.mjs').Point[]} */
  way = [];

  /** @type {ToolName} */
  #tool = 'select';
  #correcting = false;
  /** Whether corrections are drawn over the result, which has those before. */
  #overResult = false;
  #outline = outlining(this);
  #tools = { select: selecting(this), box: boxing(this), polygon: this.#outline, brush: brushing(this) };
  /** @type {Opened | null} */
  #opened = null;
  #side = h('div', { class: 'stack' });
  #bar = h('div', { class: 'row tools', role: 'toolbar', 'aria-label': t('photo.tools') });
  #split = h('input', { type: 'range', min: '0', max: '1', step: '0.01', value: '0.5', 'aria-label': t('photo.split') });
  #busy = false;
  /** Whether corrections are applied soon after they are made. */
  appliesItself = false;
  #crops = new Crops();
  #unrendered = false;
  /** @type {'before' | 'after' | 'compare'} */
  #view = 'compare';

  /** Of the page that is shown. */
  get history() {
    return this.histories[this.page];
  }

  /** Whether the result lacks corrections. */
  get changed() {
    return this.#unrendered || this.histories.some(({ changed }) => changed);
  }

  /** The service has these corrections, but has not rendered them. @param {State[]} states by page */
  stored(states) {
    this.#unrendered = true;
    states.forEach((state, i) => { this.histories[i].saved = state; });
    this.#refresh();
  }

  connectedCallback() {
    const stage = h('div', { class: 'stage' }, this.#bar, this.viewer, this.#split);
    this.append(stage, h('aside', { class: 'panel', 'aria-label': t('photo.regions') }, this.#side));
    this.viewer.overlay = (context, view) => this.#overlay(context, view);
    // Before the viewer's own keys: a selected region takes the arrows.
    this.viewer.surface.addEventListener('keydown', (event) => this.#key(event), { capture: true });
    this.viewer.addEventListener('split', () => { this.#split.value = String(this.viewer.split); });
    this.#split.addEventListener('input', () => this.viewer.setSplit(Number(this.#split.value)));
    addEventListener('keydown', this.#shortcuts);
  }

  disconnectedCallback() {
    removeEventListener('keydown', this.#shortcuts);
  }

  /** @param {Opened} opened */
  async open(opened) {
    this.#opened = opened;
    this.histories = opened.pages.map((regions) => new History(stateOf(regions)));
    this.label = opened.drawn.labels[0] ?? 'face';
    await this.turn(0);
  }

  /** Go on as in the file before. */
  goOn() {
    this.#tool = last.tool;
    if (this.#opened?.canCorrect && last.correcting) this.#mode(true);
  }

  /** Change between looking and correcting. */
  switchMode() {
    if (this.#opened?.canCorrect) this.#turnTo(!this.#correcting);
  }

  /** Show a page. @param {number} page */
  async turn(page) {
    const opened = this.#opened;
    if (!opened || page < 0 || page >= this.histories.length) return;
    const { before, after } = await opened.show(page);
    [this.page, this.selected, this.#overResult] = [page, 0, false];
    this.#crops.clear();
    await this.viewer.show(before, after);
    if (!before) this.#view = 'after';
    this.#mode(this.#correcting);
  }

  /** The result was made anew of what was stored. @param {boolean} [stays] whether it is corrected further */
  async rendered(stays = false) {
    this.#unrendered = false;
    if (stays && this.#correcting) {
      const shown = await this.#opened?.show(this.page);
      await this.viewer.show(shown?.before ?? null, shown?.after ?? null);
      this.#overResult = true;
      return this.#mode(true);
    }
    [this.#correcting, this.#view] = [false, 'after'];
    await this.turn(this.page);
  }

  /** What was corrected before, by page, from a draft. @param {State[]} states */
  restore(states) {
    states.forEach((state, i) => { if (state) this.histories[i]?.push(state); });
    this.#refresh();
  }

  /** @param {boolean} busy whether it is being rendered */
  set busy(busy) {
    this.#busy = busy;
    this.toggleAttribute('aria-busy', busy);
    this.#refresh();
  }

  /** @param {State} next @param {number} [selected] */
  commit(next, selected = this.selected) {
    const known = this.history.now;
    // A label that the plan does not name is hidden by its technique, which goes with the region.
    this.history.push(next.map((region) => {
      if (region.technique || known.find(({ id }) => id === region.id)?.label === region.label) return region;
      const technique = this.#opened?.drawn.techniqueFor(region.label);
      return technique ? { ...region, technique } : region;
    }));
    this.selected = next.some(({ id }) => id === selected) ? selected : 0;
    this.#refresh();
    this.dispatchEvent(new Event('edit'));
  }

  /** Switch regions of any page. @param {ReadonlyMap<number, readonly number[]>} ids by page @param {boolean} on */
  switchAll(ids, on) {
    for (const [page, chosen] of ids) this.histories[page].push(this.histories[page].now.map((region) => (chosen.includes(region.id) ? { ...region, on } : region)));
    this.#refresh();
    this.dispatchEvent(new Event('edit'));
  }

  /** @param {number} id */
  select(id) {
    if (id === this.selected) return;
    this.selected = id;
    this.#refresh();
  }

  /** Select a region of the page and move to it. @param {number} id */
  reveal(id) {
    this.selected = id;
    this.#refresh();
    const region = this.history.now.find((other) => other.id === id);
    if (region) this.viewer.reveal(region.xyxy);
  }

  /** As somebody wants it, also in the next file. @param {boolean} correcting */
  #turnTo(correcting) {
    last.correcting = correcting;
    this.#mode(correcting);
  }

  /** @param {boolean} correcting */
  #mode(correcting) {
    if (!correcting) this.#overResult = false;
    this.#correcting = correcting;
    this.way = [];
    this.viewer.mode = !correcting ? this.#view : this.#overResult ? 'after' : 'before';
    this.viewer.tool = correcting ? this.#tools[this.#tool] : null;
    this.#split.hidden = this.viewer.mode !== 'compare';
    // The original alone shows nothing of the result.
    if (this.viewer.mode !== 'before' && !this.seen.has(this.page)) {
      this.seen.add(this.page);
      this.dispatchEvent(new Event('page'));
    }
    this.viewer.refresh();
    this.#refresh();
  }

  /** @param {ToolName} tool */
  #use(tool) {
    this.#tool = last.tool = tool;
    this.way = [];
    this.viewer.tool = this.#tools[tool];
    this.#refresh();
  }

  #refresh() {
    const focused = document.activeElement instanceof HTMLElement && this.contains(document.activeElement) ? document.activeElement.dataset.name : undefined;
    this.#bar.replaceChildren(...this.#barParts());
    this.#side.replaceChildren(...this.#sideParts());
    this.viewer.redraw();
    if (focused) this.querySelector(/** @type {any} */ (`[data-name="${CSS.escape(focused)}"]`))?.focus();
  }

  /** @param {string} name @param {string} text @param {() => void} onclick @param {Record<string, any>} [more] @param {string} [drawing] */
  #button(name, text, onclick, more = {}, drawing = '') {
    return h('button', { type: 'button', 'data-name': name, onclick, ...(drawing ? { 'aria-label': text, title: text } : {}), ...more }, drawing ? icon(drawing) : text);
  }

  #barParts() {
    const { history, viewer } = this, opened = this.#opened;
    const views = opened?.canCorrect ? /** @type {const} */ (['before', 'compare', 'after']) : /** @type {const} */ (['after']);
    const modes = views.map((view) => this.#button(`view-${view}`, t(`photo.view.${view}`), () => { this.#view = view; this.#turnTo(false); }, { 'aria-pressed': String(!this.#correcting && this.#view === view) }));
    if (opened?.canCorrect) modes.push(this.#button('correct', t('photo.correct'), () => this.#turnTo(true), { 'aria-pressed': String(this.#correcting) }));
    const tools = /** @type {[ToolName, string][]} */ ([['select', ICONS.hand], ['box', ICONS.box], ['polygon', ICONS.polygon], ['brush', ICONS.brush]]);
    return [
      ...modes, h('span', { class: 'gap' }),
      ...(this.#correcting ? [
        ...tools.map(([name, drawing]) => this.#button(`tool-${name}`, t(`photo.tool.${name}`), () => this.#use(name), { 'aria-pressed': String(this.#tool === name) }, drawing)),
        this.#button('undo', t('photo.undo'), () => this.#go('undo'), { disabled: !history.canUndo }, ICONS.undo),
        this.#button('redo', t('photo.redo'), () => this.#go('redo'), { disabled: !history.canRedo }, ICONS.redo),
        ...(this.#overResult ? [this.#hold()] : []),
      ] : opened?.canCorrect && this.#view !== 'before' ? [this.#hold()] : []),
      ...(this.histories.length > 1 ? this.#pages() : []),
      h('span', { class: 'gap' }),
      this.#button('out', t('photo.out'), () => viewer.zoom(0.8), {}, ICONS.minus),
      this.#button('in', t('photo.in'), () => viewer.zoom(1.25), {}, ICONS.add),
      this.#button('fit', t('photo.fit'), () => viewer.fit()),
      this.#button('one', '1:1', () => viewer.zoom(1 / devicePixelRatio / viewer.view.scale), { 'aria-label': t('photo.one') }),
    ];
  }

  /** Buttons that turn pages. */
  #pages() {
    const all = this.histories.length, { page } = this;
    return [h('span', { class: 'gap' }),
      this.#button('page-back', t('photo.page.back'), () => this.turn(page - 1), { disabled: page === 0 }, ICONS.back),
      h('span', { class: 'small number' }, t('photo.page', { at: page + 1, all })),
      this.#button('page-on', t('photo.page.on'), () => this.turn(page + 1), { disabled: page === all - 1 }, ICONS.on)];
  }

  /** Shows the original for as long as it is held. */
  #hold() {
    const mode = (/** @type {'before' | 'compare' | 'after'} */ next) => () => {
      this.viewer.mode = next;
      this.viewer.refresh();
    };
    const end = mode(this.#correcting ? 'after' : this.#view);
    const keys = (/** @type {() => void} */ act) => (/** @type {KeyboardEvent} */ event) => {
      if (event.key === ' ' || event.key === 'Enter') act();
    };
    return this.#button('hold', t('photo.hold'), () => {}, {
      onpointerdown: mode('before'), onpointerup: end, onpointerleave: end, onpointercancel: end, onblur: end,
      onkeydown: keys(mode('before')), onkeyup: keys(end),
    }, ICONS.eye);
  }

  #sideParts() {
    const { history } = this, opened = this.#opened;
    const hidden = history.now.filter((region) => region.on), on = hidden.length, off = history.now.length - on;
    /** @type {HTMLElement[]} */
    const parts = [h('div', {},
      h('h2', {}, hiddenText(hidden.map(({ label }) => label))),
      off ? h('p', { class: 'quiet' }, t('photo.off', { n: off })) : '',
      on === 0 ? h('p', { class: 'note warn', role: 'alert' }, t(off ? 'photo.alloff' : history.changed ? 'photo.empty' : 'photo.none')) : '',
      this.histories.length > this.seen.size ? h('p', { class: 'note warn' }, t('photo.pages', { n: this.histories.length - this.seen.size })) : '',
      opened && !opened.canCorrect ? h('p', { class: 'note' }, t('photo.nosource')) : '')];
    if (this.#correcting) parts.push(this.#correctParts());
    if (this.changed || this.#busy) {
      parts.push(h('div', { class: 'stack tight' },
        h('p', { class: 'note warn' }, t(this.appliesItself ? 'photo.soon' : 'photo.stale')),
        this.#button('render', t(this.#busy ? 'photo.rendering' : 'photo.render'), () => this.dispatchEvent(new Event('render')), { class: 'primary', disabled: this.#busy })));
    }
    parts.push(regionList(history.now, this.selected, this.#correcting, {
      select: (id) => this.reveal(id),
      toggle: (id, isOn) => this.commit(change(history.now, id, { on: isOn }), id),
      crop: ({ xyxy }) => (opened?.canCorrect ? this.#crops.of(`${this.page} ${xyxy}`, (canvas) => this.viewer.cut(canvas, xyxy)) : ''),
    }));
    if (opened?.warnings.length) parts.splice(1, 0, remarks(opened.warnings));
    return parts;
  }

  #correctParts() {
    const { history } = this, region = history.now.find((other) => other.id === this.selected);
    const hint = h('p', { class: 'quiet small' }, t(`photo.hint.${this.#tool}`));
    const size = this.#tool === 'brush' ? h('label', { class: 'field' }, h('span', {}, t('photo.brush')), h('input', {
      type: 'range', 'data-name': 'brush', min: '4', max: '120', value: String(this.brush),
      oninput: (/** @type {Event} */ event) => { this.brush = Number(/** @type {HTMLInputElement} */ (event.target).value); },
    })) : '';
    const close = this.#tool === 'polygon' ? this.#button('close', t('photo.close'), () => this.#outline.close()) : '';
    if (!region) {
      return h('div', {}, hint, size, close, this.#labels(this.label, t('photo.newlabel'), (label) => { this.label = label; }),
        this.#button('middle', t('photo.middle'), () => this.#addMiddle()));
    }
    const like = similar(history.now, region.id);
    return h('div', {}, hint, size, close, this.#labels(region.label, t('photo.label'), (label) => this.commit(change(history.now, region.id, { label }))),
      techniqueField(region.technique, (technique) => this.commit(change(history.now, region.id, { technique }))),
      h('div', { class: 'row' },
        this.#button('toggle', t(region.on ? 'photo.turnoff' : 'photo.turnon'), () => this.commit(change(history.now, region.id, { on: !region.on }))),
        this.#button('remove', t('photo.remove'), () => this.commit(remove(history.now, region.id)), { class: 'danger' }),
        like.length > 1 ? this.#button('similar', t('photo.similar', { n: like.length - 1 }), () => this.commit(likewise(history.now, region.id, like))) : ''));
  }

  /** @param {string} value @param {string} text @param {(label: string) => void} onchange */
  #labels(value, text, onchange) {
    const names = [...new Set([...(this.#opened?.drawn.labels ?? []), value])];
    return h('label', { class: 'field' }, h('span', {}, text), h('select', {
      'data-name': 'label', onchange: (/** @type {Event} */ event) => onchange(/** @type {HTMLSelectElement} */ (event.target).value),
    }, ...names.map((name) => h('option', { value: name, selected: name === value }, oneText(name)))));
  }

  #addMiddle() {
    const { viewer } = this, { scale, x, y } = viewer.view;
    const cx = (viewer.clientWidth / 2 - x) / scale, cy = (viewer.clientHeight / 2 - y) / scale;
    const side = Math.max(8, Math.min(viewer.width, viewer.height) / 8);
    const xyxy = moved([0, 0, Math.round(side), Math.round(side)], cx - side / 2, cy - side / 2, viewer.width, viewer.height);
    const { state, id } = add(this.history.now, { label: this.label, xyxy });
    this.#tool = 'select';
    this.viewer.tool = this.#tools.select;
    this.commit(state, id);
    this.viewer.surface.focus();
  }

  /** @param {'undo' | 'redo'} way */
  #go(way) {
    this.history[way]();
    if (!this.history.now.some(({ id }) => id === this.selected)) this.selected = 0;
    this.#refresh();
    this.dispatchEvent(new Event('edit'));
  }

  #shortcuts = (/** @type {KeyboardEvent} */ event) => {
    if (!this.#correcting || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key !== 'z' && key !== 'y') return;
    event.preventDefault();
    this.#go(key === 'y' || event.shiftKey ? 'redo' : 'undo');
  };

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!this.#correcting || event.ctrlKey || event.metaKey) return;
    if (event.key === 'Enter' && this.#tool === 'polygon') return this.#outline.close();
    if (event.key === 'Escape') {
      this.way = [];
      return this.select(0);
    }
    const region = this.history.now.find((other) => other.id === this.selected);
    if (!region) return;
    const { width, height } = this.viewer, step = event.altKey ? 10 : 1;
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    const [x0, y0, x1, y1] = region.xyxy;
    if (dx || dy) {
      const box = event.shiftKey ? [x0, y0, Math.max(x0 + 1, x1 + dx * step), Math.max(y0 + 1, y1 + dy * step)] : moved(region.xyxy, dx * step, dy * step, width, height);
      this.commit(place(this.history.now, region.id, box, width, height));
    } else if (event.key === 'Delete' || event.key === 'Backspace') this.commit(remove(this.history.now, region.id));
    else if (event.key === ' ') this.commit(change(this.history.now, region.id, { on: !region.on }));
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** @param {CanvasRenderingContext2D} context @param {import('../parts/viewer.mjs').View} view */
  #overlay(context, view) {
    const { moving, drawing } = this;
    if (!this.#correcting) {
      const region = this.history.now.filter(({ id }) => id === this.selected);
      return drawRegions(context, view, region, this.selected, false);
    }
    const regions = moving ? this.history.now.map((other) => (other.id === moving.id ? { ...other, xyxy: moving.xyxy } : other)) : this.history.now;
    drawRegions(context, view, regions, this.selected, true);
    if (drawing) {
      const [x0, y0, x1, y1] = drawing;
      drawRegions(context, view, [{ id: -1, on: true, label: '', xyxy: [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)] }], 0, true);
    }
    drawWay(context, view, this.way, this.#tool === 'brush' ? this.brush / view.scale : 0);
  }
}

customElements.define('velum-editor', VelumEditor);

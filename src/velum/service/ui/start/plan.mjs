// @ts-check
/** From what was chosen to the plan that the service understands. */

/** @typedef {{ label: string, chosen: string[], others: string[], instead?: string[], here?: boolean, obtainable?: boolean | null }} Label */
/** @typedef {{ name: string, here: boolean, obtainable?: boolean | null }} Model */
/** @typedef {{ labels: string[], technique: string, degree: number, effort: string, audio?: string, kinds?: string[] }} Choice `kinds`: of text, all where there are none */

/** Degrees that hide well, and from where on a technique hides too little. */
export const TECHNIQUES = [
  { name: 'blacken', usual: 1, least: 0.1, weak: (/** @type {number} */ degree) => degree < 1 },
  { name: 'pixelate', usual: 0.2, least: 0.04, weak: (/** @type {number} */ degree) => Math.floor(1 / degree) > 8 },
  { name: 'blur', usual: 1, least: 0.1, weak: (/** @type {number} */ degree) => degree < 1 },
];

/** How closely velum looks (docs/plans.md): the closer, the more small objects are found, and the longer it takes. */
export const EFFORTS = ['fast', 'balanced', 'thorough'];

/** What becomes of the sound of videos (docs/sound.md). */
export const SOUNDS = ['copy', 'speech-mute', 'voice', 'silence', 'drop'];

/** What becomes of sound files, of which no voice is passed on as it was. */
export const VOICES = ['speech-mute', 'voice', 'silence'];

/** Labels that most people look for, in this order. */
export const COMMON = ['face', 'license_plate', 'person', 'vehicle', 'text'];

/**
 * Which models find a label: those velum would choose if one of them is on the server, or if the server has something in
 * their place; otherwise one that is there, otherwise one that can be fetched; none where nothing can be had.
 * @param {Label} label @param {Model[]} models
 * @returns {{ use: string[], here: boolean }}
 */
export function finders(label, models) {
  if (label.obtainable === false) return { use: [], here: false };
  // A localizer that is no model itself, such as that for text, may need the weights of one.
  const here = (/** @type {string} */ name) => models.find((model) => model.name === name)?.here ?? label.here ?? true;
  const best = label.chosen.filter(here);
  if (best.length) return { use: best, here: true };
  if (label.instead?.length) return { use: label.chosen, here: false };
  const other = label.others.find(here);
  if (other) return { use: [other], here: true };
  const had = [...label.chosen, ...label.others].find((name) => models.find((model) => model.name === name)?.obtainable);
  return { use: had ? [had] : [], here: false };
}

/**
 * The plan for a sound file: in it, nothing is looked for that can be seen.
 * @param {string} audio one of `VOICES`
 */
export const planOfSound = (audio) => ({ video: { audio } });

/**
 * @param {Choice} choice @param {Label[]} labels @param {Model[]} models
 * @returns {{ rules: string[], effort: string, video?: { audio: string } }}
 */
export function planOf(choice, labels, models) {
  const rules = choice.labels.flatMap((name) => {
    const label = labels.find((candidate) => candidate.label === name);
    const which = choice.kinds?.length ? `(match='${choice.kinds.join('|')}')` : '';
    return label ? finders(label, models).use.map((model) => `${name}: ${model}${model === 'text' ? which : ''} -> ${choice.technique}(degree=${choice.degree})`) : [];
  });
  return { rules, effort: choice.effort, ...(choice.audio && choice.audio !== 'copy' ? { video: { audio: choice.audio } } : {}) };
}

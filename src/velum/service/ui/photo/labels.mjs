// @ts-check
import { language, t, TEXTS } from '../i18n.mjs';
import { RARE } from './rare_labels.mjs';

/** @param {string} kind @param {string} label */
function text(kind, label) {
  const text = t(`${kind}.${label}`);
  return text.startsWith(`${kind}.`) ? RARE[language]?.[label.replaceAll(' ', '_')] ?? label.replaceAll('_', ' ') : text;
}

/** @param {string} label what it stands for, as people say it of all of them */
export const labelText = (label) => text('label', label);

/** @param {string} label as people say it of one */
export const oneText = (label) => text('one', label);

/**
 * What is hidden, as people say it: 15 faces and 2 number plates.
 * @param {string[]} labels of the regions @param {string} [inLanguage]
 */
export function hiddenText(labels, inLanguage = language) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const label of labels.map((name) => name.replaceAll(' ', '_'))) counts.set(label, (counts.get(label) ?? 0) + 1);
  if (!counts.size) return t('hidden.none', {}, inLanguage);
  const parts = [...counts].sort(([, a], [, b]) => b - a).map(([label, n]) => (`count.${label}` in TEXTS.en ? t(`count.${label}`, { n }, inLanguage) : `${n} × ${oneText(label)}`));
  return t('hidden', { what: new Intl.ListFormat(inLanguage).format(parts) }, inLanguage);
}

/**
 * How many tracks a report lists: what was in single frames is one line of it, and as many tracks.
 * @param {{ track: number | null, frames: number }[]} tracks
 */
export const tracksIn = (tracks) => tracks.reduce((sum, { track, frames }) => sum + (track === null ? frames : 1), 0);

/** What people draw, whatever the plan looked for. */
const DRAWN = ['face', 'license_plate', 'person', 'text', 'other'];

/** @param {string} label labels are the same with spaces or underscores */
const plain = (label) => label.replaceAll('_', ' ');

/**
 * Labels for what is drawn by hand, those of the plan first, and how one that the plan does not name is hidden: by the
 * technique of its first rule, which goes with the region. Nothing for those that it names.
 * @param {string[]} rules of the report
 * @returns {{ labels: string[], techniqueFor: (label: string) => string | undefined }}
 */
export function drawnLabels(rules) {
  const planned = rules.filter((rule) => !rule.includes(': by-hand ->')).map((rule) => rule.split(':')[0].trim());
  const usual = / -> (.+?)(?: with .*)?$/s.exec(rules[0] ?? '')?.[1];
  const named = new Set(planned.map(plain));
  return { labels: [...new Set([...planned, ...DRAWN.filter((label) => !named.has(label.replaceAll('_', ' ')))])], techniqueFor: (label) => (named.has(plain(label)) ? undefined : usual) };
}

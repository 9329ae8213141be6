// @ts-check
/** All words of the page. Another language: add its texts to TEXTS; what it lacks is shown in English. */

const en = {
  ok: 'OK', cancel: 'Cancel', close: 'Close', delete: 'Delete', download: 'Download', skip: 'Skip to content',
  failed: 'Something went wrong.', 'failed.page': 'This page could not be loaded',
  'failed.network': 'The service cannot be reached. Is it running? Your files are still here: try again.',
  nav: 'Pages', 'nav.start': 'Hide', 'nav.jobs': 'Jobs', 'nav.review': 'Review', 'nav.models': 'Models',
  'nav.settings': 'Settings', 'nav.docs': 'API',
  'key.title': 'Sign in', 'key.why': 'This service is for those who have a key. Ask whoever runs it for one.',
  'key.refused': 'That key is not accepted here. Check it, or ask whoever runs the service for another.',
  'key.label': 'Key', 'key.keep': 'Keep it until this tab is closed', 'key.ok': 'Sign in',
  'state.waiting': 'Waiting', 'state.running': 'Working', 'state.done': 'Done', 'state.failed': 'Failed',
  'state.cancelled': 'Cancelled', 'state.dead': 'Given up', 'state.uploading': 'Sending', 'state.ready': 'Ready',
  'left.seconds': '{n} s left', 'left.minutes': '{n} min left',
  // start
  // photo
  // video
  // review
  // jobs
  // models
  // settings
};

/** @type {Partial<typeof en>} */
const de = {
  ok: 'OK', cancel: 'Abbrechen', close: 'Schließen', delete: 'Löschen', download: 'Herunterladen',
  skip: 'Zum Inhalt', failed: 'Etwas ist schiefgegangen.', 'failed.page': 'Diese Seite konnte nicht geladen werden',
  'failed.network': 'Der Dienst ist nicht erreichbar. Läuft er? Ihre Dateien sind noch hier: versuchen Sie es erneut.',
  nav: 'Seiten', 'nav.start': 'Unkenntlich machen', 'nav.jobs': 'Aufträge', 'nav.review': 'Prüfen',
  'nav.models': 'Modelle', 'nav.settings': 'Einstellungen', 'nav.docs': 'API',
  'key.title': 'Anmelden',
  'key.why': 'Dieser Dienst braucht einen Schlüssel. Fragen Sie, wer ihn betreibt.',
  'key.refused': 'Dieser Schlüssel gilt hier nicht. Prüfen Sie ihn, oder fragen Sie nach einem anderen.',
  'key.label': 'Schlüssel', 'key.keep': 'Behalten, bis dieser Tab geschlossen wird', 'key.ok': 'Anmelden',
  'state.waiting': 'Wartet', 'state.running': 'In Arbeit', 'state.done': 'Fertig', 'state.failed': 'Fehlgeschlagen',
  'state.cancelled': 'Abgebrochen', 'state.dead': 'Aufgegeben', 'state.uploading': 'Wird gesendet',
  'state.ready': 'Bereit', 'left.seconds': 'noch {n} s', 'left.minutes': 'noch {n} min',
  // start
  // photo
  // video
  // review
  // jobs
  // models
  // settings
};

/** @type {Record<string, Partial<Record<string, string>>>} */
export const TEXTS = { en, de };

/**
 * The first language that the reader prefers and the page has.
 * @param {readonly string[]} preferred
 */
export const languageOf = (preferred) => preferred.map((one) => one.slice(0, 2)).find((one) => one in TEXTS) ?? 'en';

export const language = languageOf(globalThis.navigator?.languages ?? []);

/**
 * The text for a key, with values put in for {name}. Of texts with a key and "key.one", the latter is for n = 1.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @param {string} [inLanguage]
 * @returns {string}
 */
export function t(key, values = {}, inLanguage = language) {
  const own = TEXTS[inLanguage] ?? {};
  const one = `${key}.one`;
  const text = (values.n === 1 ? own[one] : undefined) ?? own[key] ?? TEXTS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/**
 * Time left, roughly.
 * @param {number | null} seconds
 */
export function left(seconds) {
  if (seconds === null) return '';
  return seconds < 90 ? t('left.seconds', { n: Math.ceil(seconds) }) : t('left.minutes', { n: Math.round(seconds / 60) });
}

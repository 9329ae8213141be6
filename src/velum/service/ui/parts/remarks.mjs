// @ts-check
/** What the report warns of, where it matters: before somebody approves or passes on the file. */
import { h } from './dom.mjs';
import { t } from '../i18n.mjs';

/** Remarks that the page says in the reader's language; of others it says that they are there, and shows them as they are. @type {[string, RegExp][]} */
const KNOWN = [
  ['voice', /^voices are changed, which is weak/], ['nospeech', /^audio track \d+: no speech was found/], ['short', /^the file is truncated/], ['cover', /^left out: (a cover|a stream of )/],
  ['coded', /^audio track \d+: .*(cannot be encoded here|channels were mixed)/], ['damaged', /^audio track \d+: .*(are muted or changed|could not be decoded)/],
  ['audio', /^audio is kept as it was/], ['subtitles', /^subtitles are kept as they were/],
  ['nothing', /^nothing was found to hide/], ['shown', /^nothing is hidden: the plan shows/], ['destroy', / does not destroy what it hides/],
  ['kept', /^metadata kept: (?<kinds>.+)$/], ['metadata', /^metadata not kept/], ['quality', /^the source's quality is not known/],
  ['colours', /^(colours approximated|colour information not kept|\d+ bits per sample are reduced)/],
  ['broken', /^the video (broke off|is shorter)/], ['leftout', /^left out: .* of audio or subtitles/], ['text', /it has text of its own, which stays/], ['look', /^(the rotation|HDR metadata) .*was dropped|^interlaced video was written/],
  ['dicom', /^left out: (\d+ attributes|overlay graphics|an icon, |bytes before the file's own header|\d+ bytes after the (last frame|pixel data))/], ['slices', /^a face can be rebuilt from slices/], ['burned', /^the source says that text is burned/],
];

/**
 * What the remarks of a report say in the reader's language, each once, and those that are only there in English.
 * @param {string[]} warnings @param {string} [language]
 * @returns {{ texts: string[], others: string[] }}
 */
export function remarkTexts(warnings, language) {
  const found = warnings.map((text) => ({ text, known: KNOWN.map(([name, pattern]) => ({ name, match: pattern.exec(text) })).find(({ match }) => match) }));
  const others = found.flatMap(({ text, known }) => (known ? [] : [text]));
  const texts = found.flatMap(({ known }) => (known ? [t(`remark.${known.name}`, known.match?.groups ?? {}, language)] : []));
  return { texts: [...new Set([...texts, ...(others.length ? [t('remark.other', {}, language)] : [])])], others };
}

/** @param {string[]} warnings */
export function remarks(warnings) {
  if (!warnings.length) return h('span', { hidden: true });
  const { texts, others } = remarkTexts(warnings);
  return h('details', { class: 'note warn remarks', open: true },
    h('summary', {}, t('photo.warnings', { n: texts.length })),
    h('ul', { class: 'small' }, ...texts.map((text) => h('li', {}, text))),
    others.length ? h('details', { class: 'small' }, h('summary', {}, t('error.more')), h('ul', { lang: 'en' }, ...others.map((text) => h('li', {}, text)))) : '');
}

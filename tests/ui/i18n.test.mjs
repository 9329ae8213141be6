import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { languageOf, lengthText, t, TEXTS } from '../../src/velum/service/ui/i18n.mjs';
import { remarkTexts } from '../../src/velum/service/ui/parts/remarks.mjs';

const UI = new URL('../../src/velum/service/ui/', import.meta.url);
const modules = readdirSync(UI, { recursive: true }).filter((name) => name.endsWith('.mjs'));

test('every language has every text, with the same values in it', () => {
  const values = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const [name, texts] of Object.entries(TEXTS)) {
    for (const key of Object.keys(TEXTS.en)) {
      assert.ok(texts[key], `${name} lacks ${key}`);
      assert.deepEqual(values(texts[key]), values(TEXTS.en[key]), `${name} ${key}`);
    }
  }
});

test('every text that is written out in a module exists', () => {
  for (const name of modules) {
    for (const [, key] of readFileSync(new URL(name, UI), 'utf8').matchAll(/\bt\('([\w.-]+)'/g)) {
      assert.ok(TEXTS.en[key], `${name} says ${key}`);
    }
  }
});

test('one and many are told apart, and unknown languages read English', () => {
  assert.equal(t('start.go', { n: 1 }, 'en'), 'Hide in 1 file');
  assert.equal(t('start.go', { n: 3 }, 'en'), 'Hide in 3 files');
  assert.equal(languageOf(['de-AT', 'en']), 'de');
  assert.equal(languageOf(['xx']), 'en');
});

test('no text was left in English', () => {
  // Names, and words that are the same in both languages.
  const same = new Set(['photo.view.before', 'video.view.before', 'nav.docs', 'label.text', 'one.text', 'keys.name', 'review.name', 'jobs.name', 'gallery.person']);
  const left = Object.keys(TEXTS.en).filter((key) => TEXTS.de[key] === TEXTS.en[key] && !same.has(key) && /[a-z]{3}/i.test(TEXTS.en[key].replace(/\{\w+\}/g, '')));
  assert.deepEqual(left, []);
});

test('what is counted in words has a text for one', () => {
  const counted = Object.entries(TEXTS.en).filter(([key, text]) => /\{n\} (?:[a-z-]+ )?[a-z]+s\b/.test(text) && !TEXTS.en[`${key}.one`]).map(([key]) => key);
  // Shown for two and more, or with a decimal point.
  assert.deepEqual(counted, ['jobs.frames', 'jobs.pages', 'jobs.pictures', 'sound.tracks', 'jobs.fps']);
  assert.equal(t('start.more', { n: 1 }, 'en'), '1 more kind');
});

test('remarks of a report are in the language of the page, and English only where it has no text for them', () => {
  const known = ['nothing was found to hide; look at the result before you pass it on', 'blur(degree=0.2) does not destroy what it hides: whoever has photographs of them', "the source's quality is not known; written with quality 90", 'audio is kept as it was: voices and names can identify people'];
  assert.deepEqual(remarkTexts(known, 'de'), { texts: ['nothing', 'destroy', 'quality', 'audio'].map((name) => TEXTS.de[`remark.${name}`]), others: [] });
  assert.deepEqual(remarkTexts(['metadata kept: gps', 'something else', 'something more'], 'de'), { texts: ['Das Ergebnis enthält Angaben des Originals: gps.', TEXTS.de['remark.other']], others: ['something else', 'something more'] });
});

test('lengths of videos are written as people read them', () => {
  assert.deepEqual([0.2, 6.4, 59.6, 61, 3599.7, 3725].map(lengthText), ['0:01', '0:06', '1:00', '1:01', '1:00:00', '1:02:05']);
});

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { languageOf, t, TEXTS } from '../../src/velum/service/ui/i18n.mjs';

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

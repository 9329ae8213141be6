import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metricsOf, parseEvent } from '../../src/velum/service/ui/api.mjs';
import { accepted, isMedia, isVideo, loadFileTypes, refusal } from '../../src/velum/service/ui/start/file_types.mjs';
import { planOfPdf } from '../../src/velum/service/ui/start/document_choices.mjs';
import { finders, planOf } from '../../src/velum/service/ui/start/plan.mjs';
import { planOfTopics } from '../../src/velum/service/ui/start/topics.mjs';
import { apart, crc32, zip } from '../../src/velum/service/ui/start/zip.mjs';

const LABELS = [{ label: 'face', chosen: ['a', 'b'], others: ['c'] }, { label: 'text', chosen: ['text'], others: [] }];

test('models that are here come before better ones that are not', () => {
  const models = (...here) => ['a', 'b', 'c'].map((name) => ({ name, here: here.includes(name) }));
  assert.deepEqual(finders(LABELS[0], models('a', 'c')), { use: ['a'], here: true });
  assert.deepEqual(finders(LABELS[0], models('c')), { use: ['c'], here: true });
  assert.deepEqual(finders(LABELS[0], models()), { use: [], here: false });
  const fetchable = (...had) => ['a', 'b', 'c'].map((name) => ({ name, here: false, obtainable: had.includes(name) }));
  assert.deepEqual(finders(LABELS[0], fetchable('b', 'c')), { use: ['b'], here: false });
  assert.deepEqual(finders(LABELS[0], fetchable('c')), { use: ['c'], here: false });
  assert.deepEqual(finders(LABELS[0], models().map((one) => ({ ...one, obtainable: null }))).use, []);
});

test('the service chooses where it has something in the place of a model', () => {
  const plates = { label: 'license_plate', chosen: ['a'], others: ['b'], instead: ["text(shape='plate')"] };
  const models = (...here) => ['a', 'b'].map((name) => ({ name, here: here.includes(name), obtainable: false }));
  assert.deepEqual(finders(plates, models('a')), { use: ['a'], here: true });
  assert.deepEqual(finders(plates, models('b')), { use: ['a'], here: false });
  assert.deepEqual(finders(plates, models()), { use: ['a'], here: false });
});

test('a label is not offered where the service can have nothing that finds it', () => {
  const models = [{ name: 'a', here: false, obtainable: false }];
  const plates = { label: 'license_plate', chosen: ['a'], others: [], instead: ["text(shape='plate')"], here: false, obtainable: false };
  assert.deepEqual(finders(plates, models).use, []);
  assert.deepEqual(finders({ ...LABELS[1], here: false, obtainable: false }, models).use, []);
  assert.deepEqual(finders({ ...LABELS[1], here: false, obtainable: true }, models).here, false);
});

test('a plan has a rule for each label and model', () => {
  const choice = { labels: ['face', 'text'], technique: 'blur', degree: 0.8, effort: 'thorough' };
  assert.deepEqual(planOf(choice, LABELS, []), {
    rules: ['face: a -> blur(degree=0.8)', 'face: b -> blur(degree=0.8)', 'text: text -> blur(degree=0.8)'],
    effort: 'thorough',
  });
});

test('kinds of text belong to the rule for text alone', () => {
  const choice = { labels: ['face', 'text'], technique: 'blacken', degree: 1, effort: 'balanced', kinds: ['email', 'iban'] };
  assert.deepEqual(planOf(choice, LABELS, []).rules, ['face: a -> blacken(degree=1)', 'face: b -> blacken(degree=1)', "text: text(match='email|iban') -> blacken(degree=1)"]);
});

test('pages of PDFs are rendered where that was chosen, with a number of pixels that is not the usual one', () => {
  assert.deepEqual([{ render: false, dpi: 300 }, { render: true, dpi: 200 }, { render: true, dpi: 300 }].map(planOfPdf), [{}, { pdf_pages: 'render' }, { pdf_pages: 'render', pdf_dpi: 300 }]);
});

test('a log has the chosen topics alone, and those that end with the name of one are left out by theirs', () => {
  const topics = ['/front', '/rear', '/lidar[0]', '/odd'].map((name) => ({ name, type: '', messages: 1, kind: 'images', refused: null }));
  assert.deepEqual(planOfTopics(topics, new Set(topics.map(({ name }) => name))), {});
  assert.deepEqual(planOfTopics(topics, new Set()), {});
  assert.deepEqual(planOfTopics(topics, new Set(['/front', '/lidar[0]'])), { topics: ['/front', '/lidar[[]0]'] });
  const ends = ['image', '/rear/image', '/a#2'].map((name) => ({ ...topics[0], name }));
  assert.deepEqual(planOfTopics(ends, new Set(['image'])), { topics: ['image'], drop_members: ['/rear/image'] });
});

test('the service says which files are pictures and videos, and is asked once', async () => {
  assert.ok(isMedia('notes.txt'), 'while it was not asked, nothing is left out');
  const asked = [];
  globalThis.document = { baseURI: 'https://example.org/velum/' };
  globalThis.fetch = async (address) => {
    asked.push(address);
    return new Response(JSON.stringify({ images: ['.heic', '.jpg'], videos: ['.mkv', '.mp4'] }));
  };
  await loadFileTypes();
  await loadFileTypes();
  assert.deepEqual(asked, ['https://example.org/velum/v1/file-types']);
  assert.ok(isVideo('A.MP4') && isMedia('b.heic') && isMedia('c.MKV'));
  assert.ok(!isVideo('a.jpg') && !isMedia('notes.txt') && !isMedia('jpg') && !isMedia('a.webp'));
  assert.equal(accepted(), '.heic,.jpg,.mkv,.mp4');
});

test('names in a zip file differ, whatever their case', () => {
  assert.deepEqual(apart(['a.jpg', 'A.jpg', 'x/a.jpg', 'a.jpg']), ['a.jpg', 'A (2).jpg', 'x/a.jpg', 'a (3).jpg']);
});

test('a zip file has its checksums, sizes and directory where the format says', async () => {
  assert.equal(await crc32(new Blob(['123456789'])), 0xcbf43926);
  const made = await zip([{ name: 'ä.txt', blob: new Blob(['one']) }, { name: 'b', blob: new Blob(['two!']) }]);
  const view = new DataView(await made.arrayBuffer());
  const end = view.byteLength - 22;
  assert.equal(view.getUint32(end, true), 0x06054b50);
  assert.equal(view.getUint16(end + 10, true), 2);
  assert.equal(view.getUint32(view.getUint32(end + 16, true), true), 0x02014b50);
});

test('events of the service are read as the standard says', () => {
  assert.deepEqual(parseEvent('event: end\ndata: {"a":\ndata: 1}'), { event: 'end', data: '{"a":\n1}' });
  assert.equal(parseEvent(': still here'), null);
});

test('files that are left out have a reason', () => {
  assert.deepEqual(['a.CR2', 'b.zip', 'c.pdf', 'd.WMA', 'e.xyz'].map(refusal), ['raw', 'archive', 'document', 'sound', '']);
});

test('the state of the service is read from its metrics, as far as it tells them', () => {
  const text = '# HELP velum_jobs Jobs\nvelum_jobs{state="waiting"} 2.0\nvelum_jobs{state="running"} 1.0\nvelum_jobs{state="failed"} 3.0\nvelum_jobs{state="dead"} 1.0\nvelum_jobs_longest_wait_seconds 75.5\nvelum_free_bytes{folder="jobs"} 6.01e+10\nvelum_free_bytes{folder="scratch"} 2e+09\n';
  assert.deepEqual(metricsOf(text), { jobs: { waiting: 2, running: 1, failed: 4, wait: 75.5 }, free: 2e9 });
  assert.deepEqual(metricsOf(''), { jobs: null, free: null });
});

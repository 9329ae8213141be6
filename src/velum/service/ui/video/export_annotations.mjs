// @ts-check
/** Corrected regions as data to train with. Frames are named, not sent along: they are the reader's to cut out. */

/** @typedef {import('../api.mjs').Regions} Regions */

/** @param {Regions} file */
const labelsOf = (file) => [...new Set(file.frames.flatMap(({ regions }) => regions.map(({ label }) => label)))].sort();

/** @param {string} stem @param {number} index */
const frameName = (stem, index) => `${stem}_${String(index).padStart(6, '0')}`;

/**
 * A file of COCO's format (cocodataset.org, data format: boxes as x, y, width, height).
 * @param {Regions} file @param {string} stem
 */
export function coco(file, stem) {
  const labels = labelsOf(file);
  const annotations = file.frames.flatMap(({ index, regions }) => regions.map(({ label, xyxy: [x0, y0, x1, y1], track }) => ({
    image_id: index + 1, category_id: labels.indexOf(label) + 1, bbox: [x0, y0, x1 - x0, y1 - y0],
    area: (x1 - x0) * (y1 - y0), iscrowd: 0, ...(track ? { track_id: track } : {}),
  })));
  return {
    images: file.frames.map(({ index }) => ({ id: index + 1, file_name: `${frameName(stem, index)}.png`, width: file.width, height: file.height })),
    categories: labels.map((name, i) => ({ id: i + 1, name })),
    annotations: annotations.map((one, i) => ({ id: i + 1, ...one })),
  };
}

/**
 * Files of YOLO's format: a line for each region, of the class and of centre and size as shares of the picture.
 * @param {Regions} file @param {string} stem
 * @returns {{ name: string, text: string }[]}
 */
export function yolo(file, stem) {
  const labels = labelsOf(file);
  /** @param {number} value @param {number} whole */
  const share = (value, whole) => (value / whole).toFixed(6);
  const texts = file.frames.map(({ index, regions }) => ({
    name: `labels/${frameName(stem, index)}.txt`,
    text: regions.map(({ label, xyxy: [x0, y0, x1, y1] }) => `${labels.indexOf(label)} ${share((x0 + x1) / 2, file.width)} ${share((y0 + y1) / 2, file.height)} ${share(x1 - x0, file.width)} ${share(y1 - y0, file.height)}\n`).join(''),
  }));
  const names = labels.map((label, i) => `  ${i}: ${JSON.stringify(label)}\n`).join('');
  return [{ name: 'data.yaml', text: `path: .\ntrain: images\nval: images\nnames:\n${names}` }, ...texts];
}

// @ts-check
/** A zip file whose parts are stored as they are: pictures and videos are compressed already. */

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k += 1) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/** What the format's 32-bit fields can say. */
export const MOST_BYTES = 0xffff_fffe;

/** @param {Blob} blob @returns {Promise<number>} its CRC-32, read piece by piece */
export async function crc32(blob) {
  let crc = 0xffff_ffff;
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return (crc ^ 0xffff_ffff) >>> 0;
    for (const byte of value) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255];
  }
}

/** @param {number[][]} fields pairs of a value and its bytes, low byte first */
function packed(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [, size]) => sum + size, 0));
  let at = 0;
  for (const [value, size] of fields) {
    for (let i = 0; i < size; i += 1) bytes[at + i] = (value / 2 ** (8 * i)) & 255;
    at += size;
  }
  return bytes;
}

/**
 * Names of which none comes twice: the second "a.jpg" is "a (2).jpg".
 * @param {string[]} names
 */
export function apart(names) {
  const taken = new Set();
  return names.map((name) => {
    const dot = name.lastIndexOf('.') > name.lastIndexOf('/') ? name.lastIndexOf('.') : name.length;
    let free = name;
    for (let n = 2; taken.has(free.toLowerCase()); n += 1) free = `${name.slice(0, dot)} (${n})${name.slice(dot)}`;
    taken.add(free.toLowerCase());
    return free;
  });
}

/**
 * @param {{ name: string, blob: Blob }[]} files with names that differ
 * @param {Date} [now]
 * @returns {Promise<Blob>}
 */
export async function zip(files, now = new Date()) {
  /** @type {BlobPart[]} */
  const parts = [];
  /** @type {BlobPart[]} */
  const directory = [];
  let at = 0, listed = 0;
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const day = (Math.max(0, now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  for (const { name, blob } of files) {
    const path = new TextEncoder().encode(name), crc = await crc32(blob);
    if (at + blob.size > MOST_BYTES || files.length > 65_000) throw new RangeError('too large for one zip file');
    // Version 2.0, names in UTF-8, stored.
    const common = [[20, 2], [0x0800, 2], [0, 2], [time, 2], [day, 2], [crc, 4], [blob.size, 4], [blob.size, 4], [path.length, 2], [0, 2]];
    const head = packed([[0x04034b50, 4], ...common]);
    const entry = packed([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [at, 4]]);
    parts.push(head, path, blob);
    directory.push(entry, path);
    at += head.length + path.length + blob.size;
    listed += entry.length + path.length;
  }
  const end = packed([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [listed, 4], [at, 4], [0, 2]]);
  return new Blob([...parts, ...directory, end], { type: 'application/zip' });
}

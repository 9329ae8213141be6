// @ts-check
/** Which files the service reads, as it says itself: their suffixes, with the dot and in lower case. */
import { getJson } from '../api.mjs';

/** @type {{ images: string[], videos: string[], containers: string[], sounds: string[] }} */
const known = { images: [], videos: [], containers: [], sounds: [] };

/** Ask the service, once. Throws `Problem` while it does not answer. @param {AbortSignal} [signal] */
export async function loadFileTypes(signal) {
  if (!known.images.length) Object.assign(known, await getJson('v1/file-types', signal));
}

/** @param {string} name */
const suffix = (name) => (name.includes('.') ? name.slice(name.lastIndexOf('.')).toLowerCase() : '');

/** @param {string} name */
export const isVideo = (name) => known.videos.includes(suffix(name));

/** @param {string} name */
export const isSound = (name) => known.sounds.includes(suffix(name));

/** @param {string} name whether it is an archive or a document */
export const isContainer = (name) => known.containers.some((end) => name.toLowerCase().endsWith(end));

/** @param {string} name whether it is a recording of sensors, of which topics are chosen */
export const isLog = (name) => isContainer(name) && ['.mcap', '.bag', '.db3'].includes(suffix(name));

/** @param {string} name */
export const isPdf = (name) => isContainer(name) && suffix(name) === '.pdf';

/** @param {string} name whether velum hides in it, as far as its name says; true while the service was not asked */
export const isMedia = (name) => !known.images.length || isVideo(name) || isContainer(name) || isSound(name) || known.images.includes(suffix(name));

/** Raw files of cameras: what is in them is no picture yet. */
const RAW = ['.3fr', '.arw', '.cr2', '.cr3', '.crw', '.dng', '.erf', '.kdc', '.mef', '.mrw', '.nef', '.nrw', '.orf', '.pef', '.raf', '.raw', '.rw2', '.srw', '.x3f'];
const ARCHIVES = ['.7z', '.bz2', '.gz', '.rar', '.tar', '.tgz', '.xz', '.zip', '.zst'];
const DOCUMENTS = ['.doc', '.docx', '.key', '.numbers', '.odt', '.pages', '.pdf', '.ppt', '.pptx', '.pub', '.rtf', '.xls', '.xlsx'];
/** Sounds that are no source of velum. */
const SOUNDS = ['.aac', '.ac3', '.aif', '.aiff', '.amr', '.ape', '.au', '.caf', '.mid', '.ra', '.wma', '.wv'];

/** Why a file is left out that velum does not hide in, as far as its name says; empty for others. @param {string} name */
export function refusal(name) {
  const end = suffix(name);
  if (known.images.includes(end) || isVideo(name) || isContainer(name) || isSound(name)) return '';
  return RAW.includes(end) ? 'raw' : ARCHIVES.includes(end) ? 'archive' : DOCUMENTS.includes(end) ? 'document' : SOUNDS.includes(end) ? 'sound' : '';
}

/** What a field for files accepts. */
export const accepted = () => [...known.images, ...known.videos, ...known.sounds, ...known.containers].join(',');

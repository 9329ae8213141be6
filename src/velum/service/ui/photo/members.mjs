// @ts-check
/** What a report says of the members of an archive, a document or a log. */
import { isVideo } from '../start/file_types.mjs';

/** @typedef {{ label: string, first_frame: number, last_frame: number }} Track of a video */
/**
 * @typedef {{ name: string, action: 'hidden' | 'copied' | 'edited' | 'removed' | 'emptied' | 'covered' | 'container', first_frame?: number, frames?: number, reason?: string, format?: string, messages?: number, sound?: import('../sound/spans.mjs').SoundTrack[] }} Member `messages`: of a topic of a log
 * @typedef {{ members: Member[], hidden: { label: string, frame: number }[], tracks: Track[], warnings: string[] }} DocumentReport
 * @typedef {{ member: Member, page: number, labels: string[], kind: 'page' | 'film' | 'sound', tracks: Track[] }} Shown `tracks`: of a video, counted from its first frame
 */

/** Formats of videos, in reports. */
const FILMS = ['3GP', 'AVI', 'MKV', 'MOV', 'MP4', 'MPEG', 'OGG', 'TS', 'WEBM'];

/** @param {Member} member whether it is a video, or the images of a topic, which are one */
const isFilm = ({ name, format = '', messages }) => messages !== undefined || FILMS.includes(format) || isVideo(name);

/**
 * The pictures, videos and sounds of a report, a page each, and what was hidden in them.
 * @param {DocumentReport} report
 * @returns {Shown[]}
 */
export function shownMembers({ members, hidden, tracks }) {
  /** @param {Member} member @returns {Shown[]} */
  const shown = (member) => {
    const { first_frame: first = 0, frames = 1, sound } = member;
    if (!frames && sound?.length) return [{ member, page: 0, labels: [], kind: 'sound', tracks: [] }];
    if (isFilm(member)) {
      const own = tracks.filter(({ first_frame: at }) => at >= first && at < first + frames);
      return [{ member, page: 0, labels: own.map(({ label }) => label), kind: 'film', tracks: own.map((track) => ({ ...track, first_frame: track.first_frame - first, last_frame: track.last_frame - first })) }];
    }
    return Array.from({ length: frames }, (_, page) => ({ member, page, labels: hidden.filter(({ frame }) => frame === first + page).map(({ label }) => label), kind: 'page', tracks: [] }));
  };
  return members.filter(({ action }) => action === 'hidden' || action === 'covered').flatMap(shown);
}

/** The tracks that are hidden in a frame. @param {Track[]} tracks @param {number} frame */
export const tracksAt = (tracks, frame) => tracks.filter(({ first_frame: first, last_frame: last }) => frame >= first && frame <= last);

// @ts-check
/** What a report says of sound: what was done with it, and where. */

/** @typedef {{ stream: number, action: string, muted?: [number, number][], changed?: [number, number][] }} SoundTrack */
/** @typedef {{ frames: number, sound?: SoundTrack[], warnings: string[] }} SoundReport */
/** @typedef {{ action: string, spans: [number, number][], tracks: number }} Sound `spans`: in seconds, none where all is silent */

/** Whether a report is that of a sound file: it has no frames. @param {SoundReport} report */
export const isSoundReport = ({ frames, sound }) => !frames && Boolean(sound?.length);

/** What was done with the first track, which browsers play. @param {{ sound?: SoundTrack[] }} report @returns {Sound} */
export function soundOf({ sound = [] }) {
  const [{ action, muted, changed } = { action: 'copy', muted: [], changed: [] }] = sound;
  return { action, spans: muted ?? changed ?? [], tracks: sound.length };
}

/** How many seconds were muted or changed; null where nothing was. @param {Sound} sound @param {number} seconds of the file */
export function shareOf({ action, spans }, seconds) {
  if (action === 'silence') return seconds;
  return spans.length ? spans.reduce((sum, [from, to]) => sum + Math.max(0, Math.min(to, seconds) - from), 0) : null;
}

// @ts-check
/** Films and sounds of a job in a player of the browser: the file itself, or what the service makes of it where no browser plays that. */
import { address, send, session } from '../api.mjs';

const LOOK_MS = 500;
const RENEW_MS = 30 * 60_000;

/** @typedef {{ of: 'source' | 'result', member?: string }} Which a file of a job, or a member of it */

/** Whether the browser plays what an address gives. @param {HTMLMediaElement} player @param {string} path @returns {Promise<boolean>} */
function plays(player, path) {
  const loaded = new Promise((go) => {
    player.addEventListener('loadedmetadata', () => go(true), { once: true });
    player.addEventListener('error', () => go(false), { once: true });
  });
  player.src = address(path);
  player.load();
  return loaded;
}

/**
 * Have a player play a file of a job, or a member of it. Throws an `Error` with the service's reason where nothing can be played.
 * @param {HTMLMediaElement} player @param {string} job its path @param {Which} which
 * @param {(share: number) => void} onShare how far the service is @param {AbortSignal} signal
 */
export async function play(player, job, { of, member = '' }, onShare, signal) {
  await session();
  const renew = setInterval(() => session().catch(() => {}), RENEW_MS);
  signal.addEventListener('abort', () => {
    clearInterval(renew);
    player.pause();
    player.removeAttribute('src');
    player.load();
  });
  // The address is another one each time: a browser keeps what it played under the old one.
  const stamp = Date.now();
  if (!member && await plays(player, `${job}/${of}?at=${stamp}`)) return;
  const query = new URLSearchParams({ of, ...(member && { member }) });
  for (;;) {
    const { state, share, error } = await send('POST', `${job}/preview?${query}`);
    signal.throwIfAborted();
    if (state === 'ready') {
      if (await plays(player, `${job}/preview?${query}&at=${stamp}`)) return;
      throw new Error('the browser does not play the preview');
    }
    if (state !== 'making') throw new Error(error ?? '');
    onShare(share ?? 0);
    await new Promise((go) => setTimeout(go, LOOK_MS));
    signal.throwIfAborted();
  }
}

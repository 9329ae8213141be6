// @ts-check
/** Files that another app has shared with this page, where it is installed as an app. */

/** Ask the service worker for them; it forgets them then. @returns {Promise<File[]>} */
export async function sharedFiles() {
  const worker = navigator.serviceWorker?.controller;
  if (!worker) return [];
  const { port1, port2 } = new MessageChannel();
  const answer = new Promise((go) => port1.addEventListener('message', ({ data }) => go(data), { once: true }));
  port1.start();
  worker.postMessage('shared', [port2]);
  return /** @type {Promise<File[]>} */ (answer);
}

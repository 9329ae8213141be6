// @ts-check
/**
 * The service worker: says that the server does not answer, and takes files that other apps share. It keeps no file:
 * what is shared stays in its memory until the page asks for it.
 */

const worker = /** @type {any} */ (globalThis);
const NAME = 'velum-offline';
const FILES = ['offline.html', 'styles/base.css'].map((path) => new URL(path, worker.location.href).href);
const root = () => new URL(worker.registration.scope);

/** @type {FormDataEntryValue[]} */
let shared = [];

worker.addEventListener('install', (/** @type {any} */ event) => event.waitUntil(fill()));
worker.addEventListener('activate', (/** @type {any} */ event) => event.waitUntil(worker.clients.claim()));

/** Keep what explains that the server is away, of this version alone. */
async function fill() {
  await caches.delete(NAME);
  await (await caches.open(NAME)).addAll(FILES);
  await worker.skipWaiting();
}

worker.addEventListener('fetch', (/** @type {any} */ event) => {
  const { request } = event, url = new URL(request.url);
  if (request.method === 'POST' && url.pathname === `${root().pathname}share`) event.respondWith(receive(request));
  else if (request.mode === 'navigate' && url.pathname === root().pathname) event.respondWith(fetch(request).catch(() => caches.match(FILES[0])));
  else if (url.href === FILES[1]) event.respondWith(fetch(request).catch(() => caches.match(FILES[1])));
});

/** @param {Request} request */
async function receive(request) {
  shared = (await request.formData()).getAll('files').filter((file) => file instanceof File);
  return Response.redirect(root().href, 303);
}

worker.addEventListener('message', (/** @type {any} */ event) => {
  if (event.data !== 'shared') return;
  event.ports[0].postMessage(shared);
  shared = [];
});

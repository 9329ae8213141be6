// Search runs in a worker, and browsers refuse workers to pages that are opened from a folder. There, the worker's
// script runs in a hidden frame instead, and finds what it expects of a worker: `onmessage` and `postMessage`.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    onmessage = null;
    onerror = null;
    onmessageerror = null;
    #frame = document.createElement("iframe");
    #ready;

    constructor(address) {
      super();
      const script = new URL(address, document.baseURI).href;
      this.#ready = new Promise((resolve) => {
        this.#frame.onload = () => this.#start(script, resolve);
      });
      this.#frame.hidden = true;
      this.#frame.srcdoc = "<!doctype html><title>search</title>";
      document.documentElement.append(this.#frame);
    }

    postMessage(message) {
      const data = structuredClone(message); // as between threads: neither side sees what the other does with it
      this.#ready.then((inside) => inside.onmessage(new MessageEvent("message", { data })));
    }

    terminate() {
      this.#frame.remove();
    }

    #start(script, resolve) {
      const inside = this.#frame.contentWindow;
      inside.postMessage = (message) => this.#deliver(structuredClone(message));
      const element = inside.document.createElement("script");
      element.src = script;
      element.onload = () => resolve(inside);
      element.onerror = () => this.onerror?.(new ErrorEvent("error", { message: `${script} cannot be loaded` }));
      inside.document.head.append(element);
    }

    #deliver(data) {
      const event = new MessageEvent("message", { data });
      this.onmessage?.(event);
      this.dispatchEvent(event);
    }
  };
}

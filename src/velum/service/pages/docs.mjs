// Draws the OpenAPI document as a list of forms. Everything that comes from it is set as text, never as markup.

/** @typedef {{ type?: string, format?: string, description?: string, examples?: string[], contentMediaType?: string }} Field */
/** @typedef {{ properties?: Record<string, Field>, required?: string[], $ref?: string }} Schema */

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** @param {Field} field */
const isFile = (field) => field.format === "binary" || field.contentMediaType !== undefined;

/** The fields of an operation's form. */
function formOf(operation, document_) {
  const [kind, body] = Object.entries(operation.requestBody?.content ?? {})[0] ?? ["", undefined];
  const name = body?.schema?.$ref?.split("/").at(-1);
  const schema = name ? document_.components.schemas[name] : body?.schema ?? {};
  return { kind, fields: schema.properties ?? {}, required: schema.required ?? [] };
}

function input(name, field, required) {
  const hint = element("span", { class: "hint" }, field.description ?? "");
  const must = required ? { required: "" } : {};
  const example = field.examples?.[0];
  // A file that is text can be written here.
  const control = isFile(field) && example ? element("textarea", { name, "data-file": "", ...must }, pretty(example))
    : isFile(field) ? element("input", { type: "file", name, ...must })
    : element("input", { type: "text", name, value: example ?? "", ...must });
  return element("label", {}, element("span", { class: "path" }, name), control, hint);
}

/** JSON with line breaks; what is not JSON stays as it is. @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function show(response, place, milliseconds) {
  const kind = response.headers.get("content-type") ?? "";
  const facts = `${response.status} ${response.statusText} · ${kind} · ${Math.round(milliseconds)} ms`;
  const lines = [element("p", {}, facts)];
  for (const name of ["x-velum-hidden", "x-velum-warnings", "x-request-id"]) {
    const value = response.headers.get(name);
    if (value) lines.push(element("p", { class: "hint" }, `${name}: ${value}`));
  }
  if (kind.startsWith("image/")) {
    // The data may be PNG in spite of its label.
    const data = await response.arrayBuffer();
    const png = new Uint8Array(data)[0] === 0x89;
    const address = URL.createObjectURL(new Blob([data], { type: png ? "image/png" : "image/jpeg" }));
    const picture = element("img", { src: address, alt: "The answer" });
    picture.addEventListener("load", () => URL.revokeObjectURL(address));
    lines.push(picture);
  } else {
    const text = await response.text();
    lines.push(element("pre", {}, pretty(text)));
  }
  place.replaceChildren(...lines);
}

function tryOut(method, path, operation, document_) {
  const { kind, fields, required } = formOf(operation, document_);
  const button = element("button", { type: "submit" }, "Send");
  const place = element("div", { class: "answer", "aria-live": "polite" });
  place.hidden = true;
  const inputs = Object.entries(fields).map(([name, field]) => input(name, field, required.includes(name)));
  const form = element("form", {}, ...inputs, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.setAttribute("disabled", "");
    place.hidden = false;
    const started = performance.now();
    try {
      const data = new FormData(/** @type {HTMLFormElement} */ (form));
      for (const text of form.querySelectorAll("textarea[data-file]")) {
        data.set(text.name, new Blob([text.value], { type: "application/json" }), `${text.name}.json`);
      }
      const body = method === "get" ? undefined : kind.startsWith("multipart") ? data : new URLSearchParams([...data]);
      await show(await fetch(path, { method: method.toUpperCase(), body }), place, performance.now() - started);
    } catch (error) {
      place.replaceChildren(element("p", { class: "wrong" }, String(error)));
    } finally {
      button.removeAttribute("disabled");
    }
  });
  return element("div", {}, form, place);
}

function answers(operation) {
  const rows = Object.entries(operation.responses ?? {}).map(([status, response]) =>
    element("tr", {}, element("td", {}, status), element("td", {}, response.description ?? "")));
  const head = element("tr", {}, element("th", { scope: "col" }, "Status"), element("th", { scope: "col" }, "Answer"));
  return element("table", {}, head, ...rows);
}

function drawn(method, path, operation, document_) {
  const summary = element("summary", {},
    element("span", { class: "method" }, method.toUpperCase()),
    element("span", { class: "path" }, path),
    element("span", { class: "what" }, operation.description ?? operation.summary ?? ""));
  return element("details", {}, summary,
    element("div", { class: "inside" }, tryOut(method, path, operation, document_), answers(operation)));
}

async function draw() {
  const place = document.getElementById("operations");
  const described = await (await fetch("/openapi.json")).json();
  document.getElementById("title").replaceChildren(`${described.info.title} `, element("small", {}, described.info.version));
  document.getElementById("description").textContent = described.info.description ?? "";
  const groups = new Map();
  for (const [path, methods] of Object.entries(described.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? "Other";
      groups.set(tag, [...(groups.get(tag) ?? []), drawn(method, path, operation, described)]);
    }
  }
  const sections = [...groups].map(([tag, list]) => element("section", {}, element("h2", {}, tag), ...list));
  place.replaceChildren(...sections);
  place.removeAttribute("aria-busy");
}

draw().catch((error) => {
  document.getElementById("operations").replaceChildren(element("p", { class: "wrong" }, String(error)));
});

// Shows /openapi.json: groups, parameters, shapes, examples, and a request to try. Nothing leaves this server.
"use strict";

const el = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
};
const byId = (id) => document.getElementById(id);

// A little Markdown: paragraphs and `code`.
const prose = (text) => (text || "").split(/\n\s*\n/).filter((part) => part.trim()).map((part) =>
  el("p", {}, part.split(/`([^`]*)`/).map((piece, at) => (at % 2 ? el("code", {}, piece) : piece))));

let doc;
const resolve = (schema) => (schema && schema.$ref ? doc.components.schemas[schema.$ref.split("/").pop()] : schema) || {};

// A schema in one line: integer 1 to 1440.
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const types = [].concat(schema.type || "any");
  let text = types.join(" or ");
  if (schema.type === "array") text = "list of " + kind(schema.items);
  if (schema.format && schema.format !== "int64") text += ` (${schema.format})`;
  const [min, max] = [schema.minimum ?? schema.minLength ?? schema.minItems, schema.maximum ?? schema.maxLength ?? schema.maxItems];
  const of = schema.type === "string" ? " characters" : schema.type === "array" ? " elements" : "";
  if (min !== undefined && max !== undefined) text += `, ${min} to ${max}${of}`;
  else if (max !== undefined) text += `, at most ${max}${of}`;
  else if (min !== undefined) text += `, ${min} or more${of}`;
  return text;
}

// The members of an object, those it takes in included.
function members(schema) {
  const own = resolve(schema);
  const all = (own.allOf || []).flatMap(members);
  const required = new Set(own.required || []);
  const mine = Object.entries(own.properties || {}).map(([name, of]) => ({ name, of, required: required.has(name) }));
  return [...mine, ...all];
}

function example(schema, depth = 0) {
  const of = resolve(schema);
  if (of.default !== undefined) return of.default;
  if (of.const !== undefined) return of.const;
  if (of.enum) return of.enum[0];
  if (of.anyOf) return example(of.anyOf[0], depth);
  const type = [].concat(of.type || "any")[0];
  if (type === "object" || of.allOf) {
    return depth > 4 ? {} : Object.fromEntries(members(of).map((m) => [m.name, example(m.of, depth + 1)]));
  }
  if (type === "array") return depth > 4 ? [] : [example(of.items, depth + 1)];
  if (type === "integer") return Math.max(of.minimum || 0, 1);
  if (type === "number") return 12.5;
  if (type === "boolean") return true;
  if (of.format === "date-time") return "2026-01-31T12:00:00Z";
  if (of.format === "date") return "2026-01-31";
  return type === "string" ? "…" : null;
}

function shape(schema) {
  let of = resolve(schema);
  let about = of.description;
  if (of.type === "array") of = resolve(of.items);
  const rows = members(of);
  if (!rows.length) return el("p", { class: "dim" }, kind(schema));
  const inner = (m) => {
    const item = resolve(m.of.type === "array" ? m.of.items : m.of.anyOf ? m.of.anyOf[0] : m.of);
    return members(item).length > 0 && el("details", { class: "more", ontoggle: once(() => [shape(item)]) }, el("summary", {}, "its members"));
  };
  return el("div", { class: "wrap" }, about && el("p", { class: "dim" }, about), el("table", {},
    el("thead", {}, el("tr", {}, ["member", "type", "unit", "what it is"].map((t) => el("th", {}, t)))),
    el("tbody", {}, rows.map((m) => el("tr", {},
      el("td", {}, el("code", {}, m.name), m.required ? "" : el("span", { class: "dim" }, " may be absent")),
      el("td", {}, m.of["x-type"] || kind(m.of)),
      el("td", {}, m.of["x-unit"] || ""),
      el("td", {}, m.of["x-unit"] ? "" : m.of.description || "", inner(m)))))));
}

// Fills a <details> when it is first opened.
const once = (fill) => function () {
  if (this.open && !this.dataset.filled) { this.dataset.filled = "1"; this.append(...fill()); }
};

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const slug = (verb, path) => `${verb}${path}`.replace(/[^A-Za-z0-9]+/g, "-");

// Inputs of one operation, the curl command they make, and the request itself.
function tryIt(verb, path, op) {
  const inputs = [];
  const bodies = Object.entries(op.requestBody?.content || {}).filter(([type]) => !type.includes("arrow"));
  const type = bodies.length > 0 && el("select", { "aria-label": "Content type" }, bodies.map(([name]) => el("option", {}, name)));
  const sample = (name) => {
    const content = op.requestBody.content[name];
    const value = content.example ?? (name === "application/json" ? example(content.schema) : "");
    return typeof value === "string" ? value : JSON.stringify(value, null, 2);
  };
  const text = type && el("textarea", { "aria-label": "Body", spellcheck: "false", oninput: () => show() });
  const curl = el("code");
  const params = op.parameters || [];
  const rows = params.map((p) => {
    const initial = p.example ?? (p.required ? "" : undefined);
    const choices = p.schema.enum;
    const input = choices
      ? el("select", { "aria-label": p.name, onchange: () => show() }, el("option", { value: "" }, ""), choices.map((c) => el("option", {}, c)))
      : el("input", { "aria-label": p.name, placeholder: p.schema.default ?? "", oninput: () => show() });
    if (p.required && initial !== undefined) input.value = initial;
    if (p.name === "q" && verb === "GET") input.value = p.example;
    inputs.push([p, input]);
    return el("tr", {},
      el("td", {}, el("code", {}, p.name), p.required && el("span", { class: "req", title: "required" }, " *")),
      el("td", {}, kind(p.schema), p.schema.default !== undefined && el("span", { class: "dim" }, ` = ${p.schema.default}`)),
      el("td", {}, prose(p.description), p.example !== undefined && el("span", { class: "dim" }, "like ", el("code", {}, String(p.example)))),
      el("td", { class: "try" }, input));
  });
  const address = () => {
    const query = new URLSearchParams();
    let url = path;
    for (const [p, input] of inputs) {
      if (p.in === "path") url = url.replace(`{${p.name}}`, encodeURIComponent(input.value || `{${p.name}}`));
      else if (input.value !== "") query.set(p.name, input.value);
    }
    return query.size ? `${url}?${query}` : url;
  };
  const show = () => {
    const parts = ["curl", verb === "GET" ? "" : `-X ${verb}`, quote(location.origin + address())];
    if (byId("key").value) parts.push('-H "Authorization: Bearer $TIDELINE_KEY"');
    if (type) parts.push(`-H ${quote("content-type: " + type.value)}`, `--data-binary ${quote(text.value)}`);
    curl.textContent = parts.filter(Boolean).join(" ");
  };
  const out = el("div", { "aria-live": "polite" });
  const send = async () => {
    const headers = {};
    if (byId("key").value) headers.authorization = `Bearer ${byId("key").value}`;
    if (type) headers["content-type"] = type.value;
    out.replaceChildren(el("p", { class: "dim" }, "…"));
    const begun = performance.now();
    const stop = new AbortController();
    try {
      const answer = await fetch(address(), { method: verb, headers, body: type ? text.value : undefined, signal: stop.signal });
      const ms = Math.round(performance.now() - begun);
      const kindOf = answer.headers.get("content-type") || "";
      const status = el("p", {}, el("span", { class: `status ${answer.ok ? "ok" : "bad"}` }, `${answer.status} ${answer.statusText}`), ` ${kindOf}, ${ms} ms`);
      let shown;
      if (/json|text/.test(kindOf)) {
        const reader = answer.body.getReader(), decoder = new TextDecoder();
        let body = "", end = false;
        // A stream without an end is shown as far as the page likes to.
        while (!end && body.length < 200000) {
          const { done, value } = await reader.read();
          end = done;
          body += decoder.decode(value || new Uint8Array(), { stream: !done });
          if (kindOf.includes("event-stream") && body.includes("\n\n")) break;
        }
        if (!end) stop.abort();
        try { shown = JSON.stringify(JSON.parse(body), null, 2); } catch { shown = body; }
      } else if (kindOf) {
        const blob = await answer.blob();
        const link = el("a", { href: URL.createObjectURL(blob), download: path.split("/").pop() + (/\.\w+$/.test(path) ? "" : ".bin") }, `Save ${blob.size} bytes`);
        out.replaceChildren(status, el("p", {}, link));
        return;
      }
      out.replaceChildren(status, el("pre", {}, el("code", {}, (shown || "").slice(0, 60000))));
    } catch (error) {
      out.replaceChildren(el("p", { class: "bad" }, `No answer: ${error.message}`));
    }
  };
  if (type) {
    text.value = sample(type.value);
    type.addEventListener("change", () => { text.value = sample(type.value); show(); });
  }
  show();
  byId("key").addEventListener("input", show);
  const copy = el("button", { type: "button", onclick: () => navigator.clipboard?.writeText(curl.textContent) }, "Copy");
  return [
    rows.length > 0 && el("h4", {}, "Parameters"),
    rows.length > 0 && el("table", { class: "params" },
      el("thead", {}, el("tr", {}, ["name", "type", "what it is", "try"].map((t) => el("th", {}, t)))), el("tbody", {}, rows)),
    type && [el("h4", {}, "Body"), el("div", { class: "row" }, type), text, bodies[0][1].schema.$ref && el("details", { class: "more", ontoggle: once(() => [shape(bodies[0][1].schema)]) }, el("summary", {}, "its members"))],
    el("h4", {}, "Request"), el("pre", {}, curl),
    el("div", { class: "row try" }, path !== "/ws" && el("button", { type: "button", class: "go", onclick: send }, "Send"), copy,
      verb !== "GET" && el("span", { class: "dim" }, "this changes or asks the running server")),
    out,
  ];
}

function answers(op) {
  return Object.entries(op.responses).map(([status, answer]) => {
    const contents = Object.entries(answer.content || {});
    const [, first] = contents.find(([type]) => type === "application/json") || contents[0] || [];
    const good = status < 400;
    const fill = () => [
      el("p", { class: "dim" }, contents.map(([type]) => type.split(";")[0]).join(", ") || "no body"),
      first && good && shape(first.schema),
      first && good && (first.schema.$ref || first.schema.type === "object") && el("details", { class: "more", ontoggle: once(() => [el("pre", {}, el("code", {}, JSON.stringify(example(first.schema), null, 2)))]) }, el("summary", {}, "example")),
    ].filter(Boolean);
    const line = [el("span", { class: `status ${good ? "ok" : "bad"}` }, status), " ", answer.description];
    return good ? el("details", { class: "more", ontoggle: once(fill) }, el("summary", {}, line)) : el("p", {}, line);
  });
}

function operation(verb, path, op) {
  const id = slug(verb, path);
  const fill = () => [el("div", { class: "body" },
    prose(op.description),
    (op["x-aliases"] || []).length > 0 && el("p", { class: "alias" }, "Also at ", op["x-aliases"].map((a, at) => [at ? ", " : "", el("code", {}, a)])),
    tryIt(verb, path, op),
    el("h4", {}, "Answers"),
    answers(op).slice(0, Object.keys(op.responses).filter((s) => s < 400).length),
    el("details", { class: "more" }, el("summary", {}, "what it can be refused for"),
      answers(op).slice(Object.keys(op.responses).filter((s) => s < 400).length)))];
  return el("details", { class: "op", id, ontoggle: once(fill) },
    el("summary", {}, el("span", { class: `verb ${verb}` }, verb), el("span", { class: "path" }, path),
      el("span", { class: "what" }, op.summary), op["x-scope"] && el("span", { class: "scope", title: "the scope a key needs" }, op["x-scope"])));
}

function build() {
  const groups = new Map(doc.tags.map((tag) => [tag.name, { about: tag.description, all: [] }]));
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const [method, op] of Object.entries(item)) {
      const same = op["x-same-as"] && doc.paths[op["x-same-as"]]?.[method];
      if (same) (same["x-aliases"] ||= []).push(path);
      else groups.get(op.tags[0])?.all.push([method.toUpperCase(), path, op]);
    }
  }
  const main = byId("main");
  byId("version").textContent = doc.info.version;
  main.replaceChildren(el("h1", {}, "API"), ...prose(doc.info.description),
    el("p", {}, "For programs: ", el("a", { href: "openapi.json" }, "/openapi.json"), ", OpenAPI 3.1."));
  const wide = matchMedia("(min-width:821px)").matches;
  for (const [name, { about, all }] of groups) {
    if (!all.length) continue;
    main.append(el("section", {}, el("h2", { id: slug("group", name) }, name), el("div", { class: "dim" }, prose(about)),
      all.map(([verb, path, op]) => operation(verb, path, op))));
    byId("nav").append(el("details", { open: wide && all.length < 20 }, el("summary", {}, `${name} `, el("span", { class: "dim" }, all.length)),
      all.map(([verb, path]) => el("a", { href: `#${slug(verb, path)}` }, verb === "GET" ? path : `${verb} ${path}`))));
  }
  const none = el("p", { class: "dim", hidden: true }, "Nothing of that name.");
  main.append(none);
  byId("search").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const section of main.querySelectorAll("section")) {
      let here = 0;
      for (const op of section.querySelectorAll(".op")) {
        const fits = words.every((word) => op.firstChild.textContent.toLowerCase().includes(word));
        op.hidden = !fits;
        here += fits;
      }
      section.hidden = here === 0;
      found += here;
    }
    none.hidden = found > 0;
  });
  const open = () => {
    const op = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
    if (op) { if (op.tagName === "DETAILS") op.open = true; op.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
}

async function load() {
  const note = byId("note");
  try {
    const key = byId("key").value;
    const answer = await fetch("openapi.json", { headers: key ? { authorization: `Bearer ${key}` } : {} });
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    doc = await answer.json();
    byId("nav").replaceChildren();
    build();
  } catch (error) {
    if (note) note.textContent = `/openapi.json cannot be read: ${error.message}`;
  }
}
byId("key").addEventListener("change", load);
load();

// The OpenAPI document as a page to read: no viewer from another host, no build step.

import { $, make, put } from "./dom.js";
import { FIELDS } from "./docs_fields.js";
import { SUMMARIES } from "./docs_summaries.js";
import { change, current, say, translate } from "./language.js";

let api = null; // the document, once it has arrived
let failed = "";

const pretty = (value) => make("pre", {}, typeof value === "string" ? value : JSON.stringify(value, null, 2));
const resolve = (schema) => (schema?.$ref ? schema.$ref.slice(2).split("/").reduce((at, name) => at[name], api) : schema);

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((word) => make("th", {}, say(word))));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  return make("div", {}, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

function typeOf(schema) {
  const real = resolve(schema) ?? {};
  if (real.enum) return real.enum.join(" | ");
  const choices = real.anyOf ?? real.oneOf;
  if (choices) return choices.map(typeOf).join(" | ");
  if (real.type === "array") return say("listOf", { type: typeOf(real.items) });
  return real.type ?? real.title ?? "any";
}

// What a field or parameter is, in the page's language; what has no Chinese (see docs_fields.js) is marked as English.
function described(text) {
  const chinese = current() === "zh" ? FIELDS[text] : undefined;
  return chinese ?? (text && make("span", { lang: "en" }, text));
}

function fields(schema) {
  const real = resolve(schema);
  if (!real?.properties) return [];
  const required = real.required ?? [];
  return [table(["fieldWord", "typeWord", "whatItIs"], Object.entries(real.properties).map(([name, property]) => [
    name + (required.includes(name) ? " *" : ""), typeOf(property),
    described(property.description ?? resolve(property)?.description ?? ""),
  ]))];
}

function examples(content) {
  const shown = Object.values(content.examples ?? {}).map((example) => example.value);
  if (content.example !== undefined) shown.push(content.example);
  if (!shown.length) shown.push(...(resolve(content.schema)?.examples ?? []));
  return shown.map(pretty);
}

function operation(method, path, entry) {
  const chinese = current() === "zh" ? SUMMARIES[`${method} ${path}`] : undefined;
  const box = make("details.panel", {}, make("summary", {}, make("b", {}, method.toUpperCase()), make("code", {}, path),
    make("span", {}, ` ${chinese ?? entry.summary ?? ""}`)));
  if (entry.description) box.append(make("p", { lang: "en" }, entry.description));
  if (entry.parameters?.length) {
    box.append(table(["parameterWord", "placeWord", "typeWord", "whatItIs"], entry.parameters.map((p) => [
      p.name + (p.required ? " *" : ""), p.in, typeOf(p.schema), described(p.description ?? p.schema?.description ?? "")])));
  }
  for (const [type, content] of Object.entries(entry.requestBody?.content ?? {})) {
    box.append(make("h2", {}, say("bodyOf", { type })), ...fields(content.schema), ...examples(content));
  }
  for (const [status, reply] of Object.entries(entry.responses ?? {})) {
    box.append(make("h2", {}, `${status} ${reply.description ?? ""}`));
    for (const [type, content] of Object.entries(reply.content ?? {})) {
      const problem = type.startsWith("application/problem");
      box.append(make("p", {}, type), ...(problem ? [] : fields(content.schema)), ...examples(content));
    }
  }
  return box;
}

function draw() {
  translate();
  document.title = `${say("apiTitle")} · Pingti`;
  put($("language"), say("other"));
  $("language").lang = say("otherLang");
  $("problems-link").href = `/problems?language=${current()}`;
  put($("about"), api ? aboutText() : failed ? say("apiFailed", { why: failed }) : say("apiLoading"));
  const open = [...$("paths").children].map((box) => box.open);
  const operations = Object.entries(api?.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, entry]) => operation(method, path, entry)));
  operations.forEach((box, i) => { box.open = open[i] ?? false; });
  $("paths").replaceChildren(...operations);
}

const aboutText = () => (current() === "zh" ? say("apiAbout") : api.info.description ?? "");

async function fetchDocument() {
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    api = await answer.json();
  } catch (error) {
    failed = error.message;
  }
  draw();
}

$("language").addEventListener("click", () => {
  change();
  draw();
});
draw();
fetchDocument();

// The OpenAPI document as a page to read: no viewer from another host, no build step.

const make = (tag, text, ...children) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};
const pretty = (value) => make("pre", typeof value === "string" ? value : JSON.stringify(value, null, 2));

const answer = await fetch("/openapi.json");
const api = await answer.json();
const resolve = (schema) => (schema?.$ref ? schema.$ref.slice(2).split("/").reduce((at, name) => at[name], api) : schema);

function table(heads, rows) {
  const head = make("tr", "", ...heads.map((text) => make("th", text)));
  const body = rows.map((cells) => make("tr", "", ...cells.map((text) => make("td", text))));
  return make("div", "", make("table", "", make("thead", "", head), make("tbody", "", ...body)));
}

function typeOf(schema) {
  const real = resolve(schema) ?? {};
  if (real.enum) return real.enum.join(" | ");
  const choices = real.anyOf ?? real.oneOf;
  if (choices) return choices.map(typeOf).join(" | ");
  if (real.type === "array") return `list of ${typeOf(real.items)}`;
  return real.type ?? real.title ?? "any";
}

function fields(schema) {
  const real = resolve(schema);
  if (!real?.properties) return [];
  const required = real.required ?? [];
  return [table(["field", "type", "what it is"], Object.entries(real.properties).map(([name, property]) => [
    name + (required.includes(name) ? " *" : ""), typeOf(property),
    property.description ?? resolve(property)?.description ?? "",
  ]))];
}

function examples(content) {
  const shown = Object.values(content.examples ?? {}).map((example) => example.value);
  if (content.example !== undefined) shown.push(content.example);
  if (!shown.length) shown.push(...(resolve(content.schema)?.examples ?? []));
  return shown.map(pretty);
}

function operation(method, path, entry) {
  const box = make("details", "", make("summary", "", make("b", method.toUpperCase()), make("code", path),
    make("span", ` ${entry.summary ?? ""}`)));
  box.className = "panel";
  if (entry.description) box.append(make("p", entry.description));
  if (entry.parameters?.length) {
    box.append(table(["parameter", "in", "type", "what it is"], entry.parameters.map((p) => [
      p.name + (p.required ? " *" : ""), p.in, typeOf(p.schema), p.description ?? p.schema?.description ?? ""])));
  }
  for (const [type, content] of Object.entries(entry.requestBody?.content ?? {})) {
    box.append(make("h2", `Body: ${type}`), ...fields(content.schema), ...examples(content));
  }
  for (const [status, reply] of Object.entries(entry.responses ?? {})) {
    box.append(make("h2", `${status} ${reply.description ?? ""}`));
    for (const [type, content] of Object.entries(reply.content ?? {})) {
      const problem = type.startsWith("application/problem");
      box.append(make("p", type), ...(problem ? [] : fields(content.schema)), ...examples(content));
    }
  }
  return box;
}

document.getElementById("about").textContent = api.info.description ?? "";
const paths = document.getElementById("paths");
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, entry] of Object.entries(methods)) paths.append(operation(method, path, entry));
}

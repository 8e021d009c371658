// Versions side by side, of one task or of several: #/compare/sport:1/sport:2/tech:1.

import { $, button, make, table } from "./dom.js";
import { get } from "./door.js";
import { current, day, figure, number, say } from "./language.js";
import { when } from "./nights.js";

const MOST = 5;
const RETRY_MS = 5000;

let asked = []; // [{task, version}], as the address says
let known = new Map(); // "task:version": its report and what the list of versions says; null where there is none
let drawn = "";

export function show(app, parts) {
  asked = parts.map((part) => part.split(":")).filter(([task, version]) => task && Number(version) > 0)
    .map(([task, version]) => ({ task, version: Number(version) })).slice(0, MOST);
  known = new Map();
  drawn = "";
}

export function translated() {
  drawn = "";
}

const keyOf = ({ task, version }) => `${task}:${version}`;
const nameOf = ({ task, version }) => say("versionOf", { task, n: version });
export const compareLink = (items) => `#/compare/${items.map(keyOf).join("/")}`;

export function draw(app) {
  // Where nothing is named, the students in use are compared.
  const items = asked.length ? asked : app.state.tasks.filter((task) => task.current !== null)
    .map((task) => ({ task: task.name, version: task.current })).slice(0, MOST);
  for (const item of items) if (!known.has(keyOf(item))) fetchItem(app, item);
  const wanted = JSON.stringify([current(), items, [...known].map(([key, entry]) => [key, Boolean(entry)]), app.state.tasks.map((task) => [task.name, task.versions])]);
  if (wanted === drawn) return;
  drawn = wanted;
  $("compared").replaceChildren(...content(app, items));
}

async function fetchItem(app, item) {
  const map = known;
  map.set(keyOf(item), null);
  const path = `/v1/tasks/${encodeURIComponent(item.task)}`;
  try {
    const [list, report] = await Promise.all([get(`${path}/versions`), get(`${path}/versions/${item.version}/report`)]);
    map.set(keyOf(item), { ...list.items.find((entry) => entry.version === item.version), report });
  } catch (error) {
    app.fault(error);
    setTimeout(() => { // asked for again, as the server may answer by then
      map.delete(keyOf(item));
      app.draw();
    }, RETRY_MS);
  }
  app.draw();
}

function content(app, items) {
  const choices = app.state.tasks.flatMap((task) => task.versions.toReversed().map((version) => ({ task: task.name, version })))
    .filter((item) => !items.some((own) => keyOf(own) === keyOf(item)));
  const parts = [];
  if (choices.length && items.length < MOST) {
    const menu = make("select", { id: "compare-add" }, ...choices.map((item) => make("option", { value: keyOf(item) }, nameOf(item))));
    parts.push(make("p.line", {}, make("label", { htmlFor: "compare-add" }, say("compareWith")), menu,
      button(say("add"), () => { location.hash = `${compareLink(items)}/${menu.value}`; })));
  }
  if (items.length === 1 && !choices.length) parts.push(make("p.note", {}, say("oneToCompare")));
  if (!items.length) return [make("p.empty", {}, say("nothingToCompare"), " ", make("a", { href: "#/tasks" }, say("allTasks")))];
  const entries = items.map((item) => known.get(keyOf(item)));
  if (items.length > 1) {
    parts.push(make("ul.plain.line", {}, ...items.map((item) => make("li", {}, make("a", { href: `#/tasks/${item.task}/${item.version}` }, nameOf(item)), " ",
      button("×", () => { location.hash = compareLink(items.filter((own) => own !== item)); }, { className: "quiet", ariaLabel: say("removeFrom", { name: nameOf(item) }) })))));
  }
  if (entries.some((entry) => !entry)) return [...parts, make("p.note", {}, say("connecting"))];
  parts.push(table(say("compare"), [say("figureWord"), ...items.map((item) => [nameOf(item), "n"])], rowsOf(items, entries), items.length > 2));
  parts.push(make("p.note", {}, say("compareNote")));
  return parts;
}

function rowsOf(items, entries) {
  const reports = entries.map((entry) => entry.report);
  const row = (name, pick) => [name, ...reports.map((report, i) => pick(report, entries[i]) ?? "–")];
  const share = (name, pick) => [name, ...reports.map((report, i) => withDifference(pick(report), i ? pick(reports[0]) : null))];
  const rows = [
    row(say("made"), (report, entry) => (entry.made ? when(entry.made) : null)),
    row(say("gate"), ({ gate }) => (gate ? say(gate.passed ? "passed" : "below") : null)),
    share("F1", ({ holdout }) => holdout?.f1),
    row(say("f1Interval"), ({ holdout_intervals: spans }) => (spans?.f1 ? say("fromTo", { low: figure(spans.f1[0]), high: figure(spans.f1[1]) }) : null)),
    share(say("precision"), ({ holdout }) => holdout?.precision),
    share(say("recall"), ({ holdout }) => holdout?.recall),
    share(say("asTeacher"), ({ holdout }) => holdout?.accuracy),
    row(say("holdoutRows"), ({ holdout }) => count(holdout?.rows)),
    row(say("worstDay"), ({ worst_day: worst }) => (worst ? day(worst) : null)),
    row(say("roundsWord"), ({ rounds }) => count(rounds?.length)),
    row(say("teacherRows"), ({ teacher }) => count(teacher?.rows_asked)),
    row(say("studentRate"), ({ speed }) => count(speed?.student)),
    row(say("teacherRate"), ({ speed }) => count(speed?.teacher)),
  ];
  for (const name of new Set(reports.flatMap((report) => Object.keys(report.scenes ?? {})))) {
    rows.push(row(`${say("threshold")}: ${name}`, ({ scenes }) => (typeof scenes?.[name]?.threshold === "number" ? number(scenes[name].threshold, 4) : null)));
    if (name !== "default") rows.push(share(`F1: ${name}`, ({ scenes }) => scenes?.[name]?.holdout?.f1));
  }
  // Classes that are nobody else's compare with nothing.
  const own = (report, name) => report.by_class?.find((entry) => entry.class === name);
  for (const name of new Set(reports.flatMap((report) => (report.by_class ?? []).map((entry) => entry.class)))) {
    if (reports.length > 1 && reports.filter((report) => own(report, name)).length < 2) continue;
    rows.push(share(`F1: ${name}`, (report) => own(report, name)?.f1));
  }
  return rows;
}

const count = (value) => (value === null || value === undefined ? null : number(Math.round(value)));

// A figure, and how far it is from that of the first column.
function withDifference(value, first) {
  if (value === null || value === undefined) return "–";
  if (first === null || first === undefined) return figure(value);
  const gap = value - first;
  const kind = Math.abs(gap) < 0.0005 ? "note" : gap > 0 ? "pass" : "fall";
  return make("span", {}, figure(value), " ", make(`span.${kind}`, {}, `${gap < 0 ? "−" : "+"}${number(Math.abs(gap), 3)}`));
}

// Label tasks: all of them in a table, or the page of one.

import { $, cards, make } from "./dom.js";
import { get } from "./door.js";
import { driftBadge, drifting } from "./drift.js";
import { current, figure, say } from "./language.js";
import { gate, taskPage, title } from "./task_page.js";

let chosen = null; // the task that is looked at
let version = null; // whose report is open
let facts = null; // versions, history, runs and definition of the chosen task, as fetched
let report = null;
let drawnList = "";
let drawnTask = "";

export function show(app, [name, number_]) {
  const before = chosen;
  chosen = name || null;
  version = number_ ? Number(number_) : null;
  report = null;
  drawnTask = "";
  if (chosen !== before) facts = null;
  if (chosen) fetchFacts(app);
}

export function translated() {
  drawnList = drawnTask = "";
}

export function draw(app) {
  const tasks = app.state.tasks;
  $("all-tasks").hidden = chosen !== null;
  $("one-task").hidden = chosen === null;
  const alarms = drifting(app.state);
  if (chosen === null) return drawList(tasks, alarms);
  const task = tasks.find((entry) => entry.name === chosen);
  const seen = JSON.stringify([task?.versions, task?.current]);
  if (task && facts?.seen !== seen) fetchFacts(app); // it is looked at first, a version came, or one was promoted
  const agreed = app.state.agreement?.[chosen] ?? [];
  const wanted = JSON.stringify([current(), task, version, facts?.at, report?.version, agreed, alarms.get(chosen), app.state.role]);
  if (wanted !== drawnTask) {
    drawnTask = wanted;
    const place = document.activeElement?.dataset?.hold;
    $("one-task").replaceChildren(...(task
      ? taskPage(app, task, facts ?? nothing(""), report, { alarm: alarms.get(chosen), agreed, again: () => fetchFacts(app) })
      : [title(chosen), make("p.empty", {}, say("noSuchTask"))]));
    if (place) $("one-task").querySelector(`[data-hold="${place}"]`)?.focus();
  }
  return undefined;
}

const nothing = (seen) => ({ seen, versions: [], before: null, history: [], runs: [], definition: null });

async function fetchFacts(app) {
  const name = chosen;
  const task = app.state.tasks?.find((entry) => entry.name === name);
  if (!task) return; // not known yet, or there is none
  const path = `/v1/tasks/${encodeURIComponent(name)}`;
  const seen = JSON.stringify([task.versions, task.current]);
  facts ??= nothing(seen);
  facts.seen = seen;
  try {
    const [versions, history, runs] = await Promise.all(["versions", "history", "runs"].map((part) => get(`${path}/${part}`)));
    // A definition that cannot be read is the task's fault, which is shown already.
    const definition = task.classes.length ? (await get(`${path}/definition`)).toml : null;
    if (name !== chosen) return;
    facts = {
      seen, at: performance.now(), before: versions.before, history: history.items, runs: runs.items, definition,
      versions: versions.items.toSorted((a, b) => a.version - b.version),
    };
    const wanted = version ?? facts.versions.find((entry) => entry.promoted)?.version ?? facts.versions.at(-1)?.version;
    if (wanted) report = await get(`${path}/versions/${wanted}/report`);
  } catch (error) {
    app.fault(error);
  }
  app.draw();
}

// ---- all tasks

function drawList(tasks, alarms) {
  const wanted = JSON.stringify([current(), tasks, [...alarms]]);
  if (wanted === drawnList) return;
  drawnList = wanted;
  $("no-tasks").hidden = tasks.length > 0;
  for (const id of ["task-table", "task-note", "to-compare"]) $(id).hidden = tasks.length === 0;
  $("task-table").tBodies[0].replaceChildren(...tasks.flatMap((task) => {
    const held = (value, least) => make("td.n", { className: `n ${least !== undefined && value !== undefined ? (value >= least ? "pass" : "fall") : ""}` }, figure(value));
    const alarm = alarms.get(task.name);
    const row = make("tr", {},
      make("th", { scope: "row" }, make("a", { href: `#/tasks/${task.name}` }, task.name), alarm ? " " : "", alarm ? driftBadge(alarm) : ""),
      make("td", {}, task.current === null ? say("none") : say("v", { n: task.current })),
      held(task.holdout?.f1), held(task.holdout?.precision, task.gate?.precision), held(task.holdout?.recall, task.gate?.recall),
      make("td", {}, ...gate(task)), make("td", {}, task.scenes.join(", ") || "–"), make("td", {}, task.retrain_at ?? "–"));
    return task.fault ? [row, make("tr.of-above", {}, make("td.fault", { colSpan: 8 }, task.fault))] : [row];
  }));
  cards($("task-table"));
}

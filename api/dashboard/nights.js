// Retraining runs of all tasks, and what asks for somebody's attention.

import { $, make, put, table } from "./dom.js";
import { drifting } from "./drift.js";
import { current, duration, figure, moment, number, say, sayKnown } from "./language.js";
import { sayText } from "./sentences.js";

let drawn = "";

export function translated() {
  drawn = "";
}

// Times come as ISO text or as Unix seconds.
export const when = (at) => (at === null || at === undefined ? "–" : moment(typeof at === "number" ? at * 1000 : at));

// How many tasks drift now stands beside the view's name, wherever somebody looks.
export function count(app) {
  const tasks = drifting(app.state).size;
  $("drift-count").hidden = tasks === 0;
  put($("drift-count"), tasks ? say("driftCount", { n: number(tasks) }) : "");
}

export function draw(app) {
  const { runs, alarms, health, tasks } = app.state;
  const wanted = JSON.stringify([current(), runs, alarms, health, tasks.map((task) => [task.fault, task.gate_passed])]);
  if (wanted === drawn) return;
  drawn = wanted;
  const items = worries(app.state);
  $("alarms").replaceChildren(...items, ...(items.length ? [] : [make("li.note", {}, say("noAlarms"))]));
  $("runs").replaceChildren(runs?.length ? runsTable(runs, true) : make("p.empty", {}, say("noRuns")));
}

function worries({ alarms, health, tasks, runs }) {
  const items = [];
  const add = (text, link) => items.push(make("li.alarm", {}, text, link ? " " : "", link ? make("a", { href: `#/tasks/${link}` }, link) : ""));
  if (health && !health.ready) add([health.broker, health.workers].filter((text) => !["ok", "unknown"].includes(text)).map(sayText).join(" "));
  for (const task of tasks) {
    if (task.fault) add(task.fault, task.name);
    else if (task.current !== null && task.gate_passed === false) add(say("belowGate", { task: task.name }), task.name);
  }
  for (const alarm of alarms ?? []) {
    add(say("drift", { at: when(alarm.time), task: alarm.task, n: alarm.version, share: figure(alarm.share), high: figure(alarm.high), rows: number(alarm.rows), action: sayKnown(alarm.action) }), alarm.task);
  }
  const last = new Map((runs ?? []).toReversed().map((run) => [run.task, run]));
  for (const run of last.values()) {
    if (["failed", "missed"].includes(run.state)) add(say("runBad", { at: when(run.ended ?? run.created), state: sayKnown(run.state), why: sayText(run.reason ?? "") }), run.task);
  }
  return items;
}

// `cancel(run)` gives the button that ends a run, where there may be one.
export function runsTable(runs, all = false, cancel = null) {
  const rows = runs.map((run) => [
    ...(all ? [make("a", { href: `#/tasks/${run.task}` }, run.task)] : []),
    when(run.created), make(`span.state.${run.state}`, {}, sayKnown(run.state)), progress(run),
    run.version ? say("v", { n: run.version }) : "–", run.night ? say("night", { day: run.night }) : run.who, run.reason ? make("span.text", {}, sayText(run.reason)) : "",
    ...(cancel ? [["queued", "running"].includes(run.state) ? cancel(run) : ""] : []),
  ]);
  return table(say("runs"), [...(all ? [say("task")] : []), say("time"), say("state"), say("progressWord"), say("student"), say("who"), say("why"), ...(cancel ? [""] : [])], rows);
}

function progress(run) {
  const at = run.progress;
  if (!at || run.state !== "running") return run.ended && run.started ? duration(seconds(run.ended) - seconds(run.started)) : "–";
  const text = at.round ? say("roundOf", { n: at.round, of: at.rounds ?? "?" }) : at.what ? sayText(at.what) : sayKnown("running");
  if (!at.total) return text;
  const bar = make("progress", { max: 1, value: at.done / at.total, ariaLabel: text });
  return make("span.line", {}, text, bar);
}

const seconds = (at) => (typeof at === "number" ? at : Date.parse(at) / 1000);

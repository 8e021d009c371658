// Label tasks: all of them in a table, and one with its versions, thresholds, report and history.

import { $, announce, button, make, sure, table } from "./dom.js";
import { fileLink, get, post } from "./door.js";
import { current, day, figure, moment, number, say, sayKnown } from "./language.js";
import { runsTable, when } from "./nights.js";
import { plot } from "./plot.js";
import { reportOf } from "./report.js";

let chosen = null; // the task that is looked at
let version = null; // whose report is open
let facts = null; // versions, history and runs of the chosen task, as fetched
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
  if (chosen === null) return drawList(tasks);
  const task = tasks.find((each) => each.name === chosen);
  const seen = JSON.stringify([task?.versions, task?.current]);
  if (task && facts && facts.seen !== seen) fetchFacts(app); // a version came, or another was promoted
  const agreed = app.state.agreement?.[chosen] ?? [];
  const wanted = JSON.stringify([current(), task, version, facts?.at, report?.version, agreed.length, app.state.role]);
  if (wanted !== drawnTask) {
    drawnTask = wanted;
    const place = document.activeElement?.dataset?.hold;
    $("one-task").replaceChildren(...(task ? page(app, task, agreed) : [title(chosen), make("p.empty", {}, say("noSuchTask"))]));
    if (place) $("one-task").querySelector(`[data-hold="${place}"]`)?.focus();
  }
  return undefined;
}

async function fetchFacts(app) {
  const name = chosen;
  const path = `/v1/tasks/${encodeURIComponent(name)}`;
  const seen = JSON.stringify((({ versions, current: now }) => [versions, now])(app.state.tasks?.find((each) => each.name === name) ?? {}));
  facts ??= { seen, versions: [], history: [], runs: [] };
  facts.seen = seen;
  try {
    const [versions, history, runs] = await Promise.all(["versions", "history", "runs"].map((part) => get(`${path}/${part}`)));
    if (name !== chosen) return;
    facts = { seen, at: performance.now(), versions: versions.items.toSorted((a, b) => a.version - b.version), history: history.items, runs: runs.items };
    const wanted = version ?? facts.versions.find((each) => each.promoted)?.version ?? facts.versions.at(-1)?.version;
    if (wanted) report = await get(`${path}/versions/${wanted}/report`);
  } catch (error) {
    app.fault(error);
  }
  app.draw();
}

// ---- all tasks

function drawList(tasks) {
  const wanted = JSON.stringify([current(), tasks]);
  if (wanted === drawnList) return;
  drawnList = wanted;
  $("no-tasks").hidden = tasks.length > 0;
  $("task-table").hidden = tasks.length === 0;
  $("task-table").tBodies[0].replaceChildren(...tasks.flatMap((task) => {
    const held = (value, least) => make("td.n", { className: `n ${least !== undefined && value !== undefined ? (value >= least ? "pass" : "fall") : ""}` }, figure(value));
    const row = make("tr", {},
      make("th", { scope: "row" }, make("a", { href: `#/tasks/${task.name}` }, task.name)),
      make("td", {}, task.current === null ? say("none") : say("v", { n: task.current })),
      held(task.holdout?.f1), held(task.holdout?.precision, task.gate?.precision), held(task.holdout?.recall, task.gate?.recall),
      make("td", {}, ...gate(task)), make("td", {}, task.scenes.join(", ")), make("td", {}, task.retrain_at ?? "–"));
    return task.fault ? [row, make("tr.of-above", {}, make("td.fault", { colSpan: 8 }, task.fault))] : [row];
  }));
}

function gate(task) {
  if (!task.gate) return ["–"];
  const text = `${say("gateText", { p: number(task.gate.precision, 2), r: number(task.gate.recall, 2) })} `;
  return [text, task.gate_passed === null ? null : verdict(task.gate_passed)];
}

const verdict = (passed) => make(`span.${passed ? "pass" : "fall"}`, {}, `${passed ? "✓" : "✗"} ${say(passed ? "passed" : "below")}`);

// ---- one task

const title = (name) => make("div.line.head", {}, make("h2", { tabIndex: -1, "data-hold": "title" }, name), make("a.push", { href: "#/tasks" }, say("allTasks")));

function page(app, task, agreed) {
  const { versions, history, runs } = facts ?? { versions: [], history: [], runs: [] };
  return [
    title(task.name),
    task.fault ? make("p.fault", {}, task.fault) : null,
    summary(task),
    actions(app, task),
    make("div.plots", {}, ...plots(task, versions, agreed)),
    section("versions", versionTable(app, task, versions)),
    report ? make("section", { ariaLabel: say("pageOf", { task: task.name, n: report.version }) },
      make("h3", {}, say("pageOf", { task: task.name, n: report.version })), ...reportOf(report), files(app, task, report.version)) : null,
    runs.length ? section("runs", runsTable(runs, false, app.may("admin") ? (run) => cancelButton(app, run) : null)) : null,
    history.length ? section("history", table(say("history"), [say("time"), say("event"), say("student"), say("who"), say("why")],
      history.map((line) => [moment(line.time), sayKnown(line.event), say("v", { n: line.version }), line.who, line.why]))) : null,
  ].filter(Boolean);
}

const section = (word, ...content) => make("section", { ariaLabel: say(word) }, make("h3", {}, say(word)), ...content);

function summary(task) {
  const pairs = [
    [say("student"), task.current === null ? say("none") : say("v", { n: task.current })],
    ["F1", figure(task.holdout?.f1)],
    [say("precision"), figure(task.holdout?.precision)],
    [say("recall"), figure(task.holdout?.recall)],
    [say("holdoutRows"), task.holdout ? number(task.holdout.rows) : "–"],
    [say("gate"), make("span", {}, ...gate(task))],
    [say("classes"), task.classes.join(", ")],
    [say("priorityShort"), String(task.priority ?? "–")],
    [say("nightly"), task.retrain_at ?? "–"],
  ];
  return make("dl.facts-list", {}, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function actions(app, task) {
  const links = [make("a", { href: `#/review/${task.name}` }, say("reviewRows"))];
  if (!app.may("admin")) return make("p.line", {}, ...links);
  const path = `/v1/tasks/${encodeURIComponent(task.name)}`;
  const does = (word, act, hold) => button(say(word), act, { "data-hold": hold });
  return make("div.line", {},
    does("retrainNow", () => act(app, say("sureRetrain", { task: task.name }), say("retrainNow"), () => post(`${path}/retrain`), "retrainSent"), "retrain"),
    does("rollback", () => act(app, say("sureBack", { task: task.name }), say("rollback"), () => post(`${path}/rollback`, { why: say("byDashboard") }), "done"), "rollback"),
    ...links);
}

function cancelButton(app, run) {
  const path = `/v1/tasks/${encodeURIComponent(run.task)}/runs/${encodeURIComponent(run.id.slice(run.task.length + 1))}/cancel`;
  return button(say("cancel"), () => act(app, say("sureCancelRun", { id: run.id }), say("cancelRun"), () => post(path), "runCancelled"),
    { ariaLabel: say("cancelRunLabel", { id: run.id }) });
}

async function act(app, question, yes, deed, word) {
  if (!(await sure(question, yes, say("leave")))) return;
  try {
    await deed();
    app.fault(null);
    announce(say(word));
  } catch (error) {
    app.fault(error);
  }
  fetchFacts(app);
}

function plots(task, versions, agreed) {
  const charts = [];
  const names = versions.map((each) => String(each.version));
  const held = (name) => versions.map((each) => each.holdout?.[name] ?? null);
  if (versions.length) {
    const rules = task.gate ? [{ name: `${say("gate")} ${number(task.gate.precision, 2)}`, value: task.gate.precision }] : [];
    if (task.gate && task.gate.recall !== task.gate.precision) rules.push({ name: `${say("gate")} R ${number(task.gate.recall, 2)}`, value: task.gate.recall });
    charts.push(plot({
      title: say("byVersion"), across: say("student"), x: names, rules,
      series: [{ name: "F1", values: held("f1") }, { name: say("precision"), values: held("precision") }, { name: say("recall"), values: held("recall") }],
    }));
  }
  const scenes = task.scenes.filter((scene) => versions.some((each) => typeof each.thresholds?.[scene] === "number"));
  if (scenes.length) {
    charts.push(plot({
      title: say("thresholds"), across: say("day"), x: versions.map((each) => (each.made ? day(each.made) : String(each.version))),
      series: scenes.map((scene) => ({ name: scene, values: versions.map((each) => each.thresholds?.[scene] ?? null) })),
    }));
  }
  if (agreed.length) {
    const days = agreed.toReversed();
    charts.push(plot({
      title: say("agreement"), across: say("day"), x: days.map((each) => day(each.day)),
      series: [{ name: say("agreed"), values: days.map((each) => each.share) }],
    }));
  }
  return charts;
}

function versionTable(app, task, versions) {
  if (!versions.length) return make("p.note", {}, say("noVersions", { task: task.name }));
  const rows = versions.toReversed().map((each) => [
    make("a", { href: `#/tasks/${task.name}/${each.version}`, ariaLabel: say("pageOf", { task: task.name, n: each.version }) }, say("v", { n: each.version })),
    each.made ? when(each.made) : "–",
    figure(each.holdout?.f1), figure(each.holdout?.precision), figure(each.holdout?.recall),
    each.gate_passed === null || each.gate_passed === undefined ? "–" : verdict(each.gate_passed),
    each.version === task.current ? make("strong", {}, say("promotedNow")) : app.may("admin") ? promote(app, task, each) : "",
  ]);
  return table(say("versions"), [say("student"), say("made"), ["F1", "n"], [say("precision"), "n"], [say("recall"), "n"], say("gate"), ""], rows);
}

function promote(app, task, version) {
  const question = say(version.gate_passed === false ? "surePromoteBelow" : "surePromote", { task: task.name, n: version.version });
  const body = { version: version.version, why: say("byDashboard"), ...(version.gate_passed === false ? { force: true } : {}) };
  return button(say("promote"), () => act(app, question, say("promote"), () => post(`/v1/tasks/${encodeURIComponent(task.name)}/promote`, body), "done"),
    { className: "link", ariaLabel: say("promoteLabel", { n: version.version }), "data-hold": `promote-${version.version}` });
}

function files(app, task, n) {
  const path = `/v1/tasks/${encodeURIComponent(task.name)}/versions/${n}/report`;
  const label = say("pageOf", { task: task.name, n });
  return make("p.line", {}, fileLink(say("reportPage"), `${path}.html`, `${task.name}-${n}.html`, `${label}, HTML`, app.fault),
    fileLink("JSON", path, `${task.name}-${n}.json`, `${label}, JSON`, app.fault));
}

// One label task: its versions, thresholds, report, definition, retrainings and history, and what can be done to it.

import { announce, button, make, sure, table } from "./dom.js";
import { fileLink, post } from "./door.js";
import { driftBadge } from "./drift.js";
import { current, day, daysBetween, figure, moment, number, say, sayKnown } from "./language.js";
import { runsTable, when } from "./nights.js";
import { plot } from "./plot.js";
import { reportOf } from "./report.js";
import { compareLink } from "./compare.js";
import { sayText } from "./sentences.js";

export function gate(task) {
  if (!task.gate) return ["–"];
  const text = `${say("gateText", { p: number(task.gate.precision, 2), r: number(task.gate.recall, 2) })} `;
  return [text, task.gate_passed === null ? null : passedOrNot(task.gate_passed)];
}

export const passedOrNot = (passed) => make(`span.${passed ? "pass" : "fall"}`, {}, `${passed ? "✓" : "✗"} ${say(passed ? "passed" : "below")}`);

export const title = (name, alarm) => make("div.line.head", {}, make("h2", { tabIndex: -1, "data-hold": "title" }, name),
  alarm ? driftBadge(alarm) : "", make("a.push", { href: "#/tasks" }, say("allTasks")));

// ``facts``: {versions, before, definition, history, runs} as fetched. ``report``: the one that is open, or null.
// ``again`` fetches the facts anew, after something was done.
export function taskPage(app, task, facts, report, { alarm, agreed, again }) {
  const { versions, history, runs, definition, before } = facts;
  const act = (...given) => deed(app, again, ...given);
  return [
    title(task.name, alarm),
    task.fault ? make("p.fault", {}, task.fault) : null,
    summary(task),
    actions(app, act, task, versions, before),
    make("div.plots", {}, ...plots(task, versions, agreed)),
    section("versions", versionTable(app, act, task, versions)),
    report ? make("section", { ariaLabel: say("pageOf", { task: task.name, n: report.version }) },
      make("h3", {}, say("pageOf", { task: task.name, n: report.version })),
      verdict(versions.find((entry) => entry.version === report.version)),
      ...reportOf(report), files(app, task, report.version)) : null,
    definition ? make("section", {}, make("details.definition", {}, make("summary", {}, say("definition")),
      make("pre", { tabIndex: 0, ariaLabel: say("definition"), role: "region" }, make("code", {}, definition)))) : null,
    runs.length ? section("runs", runsTable(runs, false, app.may("admin") ? (run) => cancelButton(act, run) : null)) : null,
    history.length ? section("history", table(say("history"), [say("time"), say("event"), say("student"), say("who"), say("why")],
      history.map((line) => [moment(line.time), sayKnown(line.event), say("v", { n: line.version }), line.who, sayText(line.why ?? "")]))) : null,
  ].filter(Boolean);
}

function verdict(version) {
  const sentence = version?.verdict?.[current()];
  return sentence ? make("p.verdict", {}, sentence) : null;
}

// Without a name of its own: the table in it has the same.
const section = (word, ...content) => make("section", {}, make("h3", {}, say(word)), ...content);

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

function actions(app, act, task, versions, before) {
  const links = [make("a", { href: `#/review/${task.name}` }, say("reviewRows"))];
  if (task.versions.length > 1) links.push(make("a", { href: compareLink(task.versions.slice(-2).map((version) => ({ task: task.name, version }))) }, say("compareVersions")));
  if (!app.may("admin")) return make("p.line", {}, ...links);
  const path = `/v1/tasks/${encodeURIComponent(task.name)}`;
  const first = task.versions.length === 0;
  const promoted = versions.find((entry) => entry.promoted)?.version; // as fetched together with ``before``
  const start = first ? say("startNow") : say("retrainNow");
  const question = first ? say("sureStart", { task: task.name })
    : say("sureRetrain", { task: task.name, now: task.current === null ? say("none") : say("v", { n: task.current }) });
  const buttons = [button(start, () => act(question, start, () => post(`${path}/retrain`), "retrainSent"), { "data-hold": "retrain", className: first ? "primary" : "" })];
  if (before !== null) {
    buttons.push(button(say("rollback"), () => act(say("sureBack", { task: task.name, from: promoted, n: before }), say("rollback"),
      () => post(`${path}/rollback`, { version: before, why: say("byDashboard") }), "done"), { "data-hold": "rollback" }));
  }
  return make("div.line", {}, ...buttons, ...links);
}

function cancelButton(act, run) {
  const path = `/v1/tasks/${encodeURIComponent(run.task)}/runs/${encodeURIComponent(run.id.slice(run.task.length + 1))}/cancel`;
  return button(say("cancel"), () => act(say("sureCancelRun", { id: run.id }), say("cancelRun"), () => post(path), "runCancelled"),
    { ariaLabel: say("cancelRunLabel", { id: run.id }) });
}

async function deed(app, again, question, yes, request, word) {
  if (!(await sure(question, yes, say("leave")))) return;
  try {
    await request();
    app.fault(null);
    announce(say(word));
  } catch (error) {
    app.fault(error);
  }
  again();
}

function plots(task, versions, agreed) {
  const charts = [];
  const names = versions.map((entry) => String(entry.version));
  const held = (name) => versions.map((entry) => entry.holdout?.[name] ?? null);
  if (versions.length) {
    const rules = task.gate ? [{ name: `${say("gate")} ${number(task.gate.precision, 2)}`, value: task.gate.precision }] : [];
    if (task.gate && task.gate.recall !== task.gate.precision) rules.push({ name: `${say("gate")} R ${number(task.gate.recall, 2)}`, value: task.gate.recall });
    charts.push(plot({
      title: say("byVersion"), across: say("versionWord"), x: names, rules,
      series: [{ name: "F1", values: held("f1") }, { name: say("precision"), values: held("precision") }, { name: say("recall"), values: held("recall") }],
    }));
  }
  const scenes = task.scenes.filter((scene) => versions.some((entry) => typeof entry.thresholds?.[scene] === "number"));
  if (scenes.length) {
    charts.push(plot({
      title: say("thresholds"), across: say("day"), unit: say("probability1"), x: versions.map((entry) => (entry.made ? day(entry.made) : String(entry.version))),
      series: scenes.map((scene) => ({ name: scene, values: versions.map((entry) => entry.thresholds?.[scene] ?? null) })),
    }));
  }
  if (agreed.length) {
    // Every day from the first on: one without rows is a gap. Each version has a line of its own.
    const days = daysBetween(agreed.at(-1).day, agreed[0].day);
    const used = [...new Set(agreed.map((entry) => entry.version))].sort((a, b) => a - b);
    const share = (version, on) => agreed.find((entry) => entry.version === version && entry.day === on && entry.rows > 0)?.share ?? null;
    charts.push(plot({
      title: say("agreement"), across: say("day"), x: days.map(day),
      series: used.map((version) => ({ name: say("v", { n: version }), values: days.map((on) => share(version, on)) })),
    }));
  }
  return charts;
}

function versionTable(app, act, task, versions) {
  if (!versions.length) return make("p.empty", {}, say("noVersions", { task: task.name }));
  const rows = versions.toReversed().map((entry) => [
    make("a", { href: `#/tasks/${task.name}/${entry.version}`, ariaLabel: say("pageOf", { task: task.name, n: entry.version }) }, say("v", { n: entry.version })),
    entry.made ? when(entry.made) : "–",
    figure(entry.holdout?.f1), figure(entry.holdout?.precision), figure(entry.holdout?.recall),
    entry.gate_passed === null || entry.gate_passed === undefined ? "–" : passedOrNot(entry.gate_passed),
    entry.version === task.current ? make("strong", {}, say("promotedNow")) : app.may("admin") ? promote(act, task, entry) : "",
  ]);
  return table(say("versions"), [say("student"), say("made"), ["F1", "n"], [say("precision"), "n"], [say("recall"), "n"], say("gate"), ""], rows);
}

function promote(act, task, version) {
  const question = say(version.gate_passed === false ? "surePromoteBelow" : "surePromote", { task: task.name, n: version.version });
  const body = { version: version.version, why: say("byDashboard"), ...(version.gate_passed === false ? { force: true } : {}) };
  return button(say("promote"), () => act(question, say("promote"), () => post(`/v1/tasks/${encodeURIComponent(task.name)}/promote`, body), "done"),
    { className: "link", ariaLabel: say("promoteLabel", { n: version.version }), "data-hold": `promote-${version.version}` });
}

function files(app, task, n) {
  const path = `/v1/tasks/${encodeURIComponent(task.name)}/versions/${n}/report`;
  const label = say("pageOf", { task: task.name, n });
  return make("p.line", {}, fileLink(say("reportPage"), `${path}.html?language=${current()}`, `${task.name}-${n}.html`, `${label}, HTML`, app.fault),
    fileLink("JSON", path, `${task.name}-${n}.json`, `${label}, JSON`, app.fault));
}

// The report of a version: rounds, operating points, days, calibration, and where it fails.

import { make, table } from "./dom.js";
import { day, figure, number, say } from "./language.js";
import { plot } from "./plot.js";
import { sayText } from "./sentences.js";

const FIGURES = ["f1", "precision", "recall"];

export function reportOf(report) {
  const charts = [
    rounds(report.rounds), days(report.days), ...thresholds(report.scenes), calibration(report.calibration),
  ].filter(Boolean);
  return [
    make("p.note", {}, [verdict(report), report.stopped ? say("stopped", { why: sayText(report.stopped) }) : ""].filter(Boolean).join(" ")),
    charts.length ? make("div.plots", {}, ...charts) : null,
    ladder(report.ladder),
    operatingPoints(report.scenes),
    classes(report.by_class),
    pairs(report.pairs),
    clusters(report.clusters),
    hardest(report.hardest),
  ].filter(Boolean);
}

function verdict({ gate, holdout_intervals: spans }) {
  const text = say(gate?.passed ? "gatePassed" : "gateBelow");
  if (!spans?.f1) return text;
  return `${text} ${say("interval", { low: figure(spans.f1[0]), high: figure(spans.f1[1]) })}`;
}

const lines = (points, pick) => FIGURES.map((name) => ({
  name: name === "f1" ? "F1" : say(name), values: points.map((entry) => pick(entry)?.[name] ?? null),
}));

function rounds(list) {
  if (!list?.length) return null;
  return plot({ title: say("byRound"), across: say("round"), x: list.map((entry) => String(entry.round)), series: lines(list, (entry) => entry.holdout) });
}

function days(list) {
  if (!list?.length) return null;
  return plot({ title: say("byDay"), across: say("day"), x: list.map((entry) => day(entry.day)), series: lines(list, (entry) => entry) });
}

// What the rows of each stretch of days alone would choose, beside the threshold of all.
function thresholds(points) {
  return Object.entries(points ?? {})
    .filter(([, point]) => (point.days ?? []).filter((entry) => Number.isFinite(entry.threshold)).length > 1)
    .map(([name, point]) => plot({
      title: `${say("thresholds")}: ${name}`, across: say("day"), unit: say("probability1"), x: point.days.map((entry) => day(entry.first)),
      series: [{ name: say("threshold"), values: point.days.map((entry) => entry.threshold ?? null) }],
      rules: [{ name, value: point.threshold }],
    }));
}

function calibration(bins) {
  if (!bins?.length) return null;
  return plot({
    title: say("calibration"), across: say("score"), x: bins.map((entry) => number(entry.score, 2)),
    series: [{ name: say("confirmed"), values: bins.map((entry) => entry.share) }, { name: say("score"), values: bins.map((entry) => entry.score) }],
  });
}

// The kinds of students that this one was chosen from, where there are several: what each reaches and costs.
function ladder(rungs) {
  if (!(rungs?.length > 1)) return null;
  const rows = rungs.map((rung) => [
    rung.kind, figure(rung.f1), figure(rung.agreement),
    rung.texts_per_second ? number(rung.texts_per_second, 0) : "–",
    rung.bytes ? number(rung.bytes / 1e6, 1) : "–",
    typeof rung.f1 === "number" ? say("percent", { n: number(100 * (rung.teacher_share ?? 0), 1) }) : "–",
    typeof rung.f1 === "number" ? make(`span.${rung.passes ? "pass" : "fall"}`, {}, `${rung.passes ? "✓" : "✗"} ${say(rung.passes ? "passed" : "below")}`) : "–",
    [rung.kept ? say("kept") : "", rung.note ? sayText(rung.note) : ""].filter(Boolean).join(" "),
  ]);
  const timed = rungs.filter((rung) => rung.texts_per_second && typeof rung.f1 === "number")
    .toSorted((a, b) => b.texts_per_second - a.texts_per_second);
  return make("div", {}, make("h4", {}, say("ladder")),
    timed.length > 1 ? make("div.plots", {}, plot({
      title: say("f1ByCost"), across: say("microseconds"), x: timed.map((rung) => number(1e6 / rung.texts_per_second, 1)),
      series: timed.map((own) => ({ name: own.kind, values: timed.map((rung) => (rung === own ? rung.f1 : null)) })),
    })) : null,
    table(say("ladder"), [say("kind"), ["F1", "n"], [say("agreed"), "n"], [say("textsPerSecond"), "n"], [say("megabytes"), "n"],
      [say("teacherShare"), "n"], say("gate"), say("kept")], rows));
}

function operatingPoints(points) {
  const rows = Object.entries(points ?? {}).map(([name, point]) => [
    name, point.threshold === null ? "–" : number(point.threshold, 4),
    ...["precision", "recall", "f1"].map((share) => figure(point.holdout?.[share]))]);
  if (!rows.length) return null;
  return make("div", {}, make("h4", {}, say("scenes")),
    table(say("scenes"), [say("scene"), [say("threshold"), "n"], [say("precision"), "n"], [say("recall"), "n"], ["F1", "n"]], rows));
}

function classes(list) {
  if (!list?.length) return null;
  return make("div", {}, make("h4", {}, say("classes")), table(say("classes"), [say("classWord"), ["F1", "n"], [say("precision"), "n"], [say("recall"), "n"], [say("rowsWord"), "n"]],
    list.map((own) => [own.class, ...FIGURES.map((name) => figure(own[name])), number(own.rows)])));
}

function pairs(list) {
  if (!list?.length) return null;
  return make("div", {}, make("h4", {}, say("pairs")), table(say("pairs"), [say("pairWord"), [say("rowsWord"), "n"], [say("shareWord"), "n"], say("textsLike")],
    list.slice(0, 8).map((pair) => [say("takenFor", { teacher: pair.teacher, student: pair.student }), say("ofAll", { n: number(pair.rows), all: number(pair.of) }),
      figure(pair.share), make("span.text", {}, pair.examples.join(" · "))])));
}

function clusters(list) {
  if (!list?.length) return null;
  return make("div", {}, make("h4", {}, say("clusters")), table(say("clusters"), [say("textsLike"), [say("rowsWord"), "n"], [say("agreed"), "n"], [say("missedRows"), "n"]],
    list.slice(0, 8).map((entry) => [make("span.text", {}, entry.examples.join(" · ")), number(entry.rows), figure(entry.covered), number(entry.missed)])));
}

function hardest(rows) {
  if (!rows?.length) return null;
  return make("details", {}, make("summary", {}, say("hardest", { n: number(rows.length) })),
    table(say("hardest", { n: number(rows.length) }), [say("textWord"), say("teacher"), say("student")],
      rows.map((entry) => [make("span.text", {}, entry.text), String(entry.teacher), String(entry.student)])));
}

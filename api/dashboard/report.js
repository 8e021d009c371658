// The report of a version: rounds, operating points, days, calibration, and where it fails.

import { make, table } from "./dom.js";
import { day, figure, number, say } from "./language.js";
import { plot } from "./plot.js";

const FIGURES = ["f1", "precision", "recall"];

export function reportOf(report) {
  const charts = [
    rounds(report.rounds), days(report.days), ...thresholds(report.scenes), calibration(report.calibration),
  ].filter(Boolean);
  return [
    make("p.note", {}, [verdict(report), report.stopped ? say("stopped", { why: report.stopped }) : ""].filter(Boolean).join(" ")),
    charts.length ? make("div.plots", {}, ...charts) : null,
    operatingPoints(report.scenes),
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
  name: name === "f1" ? "F1" : say(name), values: points.map((each) => pick(each)?.[name] ?? null),
}));

function rounds(list) {
  if (!list?.length) return null;
  return plot({ title: say("byRound"), across: say("round"), x: list.map((each) => String(each.round)), series: lines(list, (each) => each.holdout) });
}

function days(list) {
  if (!list?.length) return null;
  return plot({ title: say("byDay"), across: say("day"), x: list.map((each) => day(each.day)), series: lines(list, (each) => each) });
}

// What the rows of each stretch of days alone would choose, beside the threshold of all.
function thresholds(points) {
  return Object.entries(points ?? {})
    .filter(([, point]) => (point.days ?? []).filter((each) => Number.isFinite(each.threshold)).length > 1)
    .map(([name, point]) => plot({
      title: `${say("thresholds")}: ${name}`, across: say("day"), x: point.days.map((each) => day(each.first)),
      series: [{ name: say("threshold"), values: point.days.map((each) => each.threshold ?? null) }],
      rules: [{ name, value: point.threshold }],
    }));
}

function calibration(bins) {
  if (!bins?.length) return null;
  return plot({
    title: say("calibration"), across: say("score"), x: bins.map((each) => number(each.score, 2)),
    series: [{ name: say("confirmed"), values: bins.map((each) => each.share) }, { name: say("score"), values: bins.map((each) => each.score) }],
  });
}

function operatingPoints(points) {
  const rows = Object.entries(points ?? {}).map(([name, point]) => [
    name, point.threshold === null ? "–" : number(point.threshold, 4),
    ...["precision", "recall", "f1"].map((each) => figure(point.holdout?.[each]))]);
  if (!rows.length) return null;
  return make("div", {}, make("h4", {}, say("scenes")),
    table(say("scenes"), [say("scene"), [say("threshold"), "n"], [say("precision"), "n"], [say("recall"), "n"], ["F1", "n"]], rows));
}

function clusters(list) {
  if (!list?.length) return null;
  return make("div", {}, make("h4", {}, say("clusters")), table(say("clusters"), [say("textsLike"), [say("rowsWord"), "n"], [say("agreed"), "n"], [say("missedRows"), "n"]],
    list.slice(0, 8).map((each) => [make("span.text", {}, each.examples.join(" · ")), number(each.rows), figure(each.covered), number(each.missed)])));
}

function hardest(rows) {
  if (!rows?.length) return null;
  return make("details", {}, make("summary", {}, say("hardest", { n: number(rows.length) })),
    table(say("hardest", { n: number(rows.length) }), [say("textWord"), say("teacher"), say("student")],
      rows.map((each) => [make("span.text", {}, each.text), String(each.teacher), String(each.student)])));
}

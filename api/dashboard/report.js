// The report of a version: rounds, scenes, days, calibration, and where it fails.

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
    scenes(report.scenes),
    clusters(report.clusters),
    hardest(report.hardest),
  ].filter(Boolean);
}

function verdict({ gate, holdout_intervals: spans }) {
  const text = say(gate?.passed ? "gatePassed" : "gateBelow");
  if (!spans?.f1) return text;
  return `${text} ${say("interval", { low: figure(spans.f1[0]), high: figure(spans.f1[1]) })}`;
}

const lines = (found, pick) => FIGURES.map((name) => ({
  name: name === "f1" ? "F1" : say(name), values: found.map((each) => pick(each)?.[name] ?? null),
}));

function rounds(found) {
  if (!found?.length) return null;
  return plot({ title: say("byRound"), across: say("round"), x: found.map((each) => String(each.round)), series: lines(found, (each) => each.holdout) });
}

function days(found) {
  if (!found?.length) return null;
  return plot({ title: say("byDay"), across: say("day"), x: found.map((each) => day(each.day)), series: lines(found, (each) => each) });
}

// What the rows of each stretch of days alone would choose, beside the threshold of all.
function thresholds(found) {
  return Object.entries(found ?? {})
    .filter(([, scene]) => (scene.days ?? []).filter((each) => Number.isFinite(each.threshold)).length > 1)
    .map(([name, scene]) => plot({
      title: `${say("thresholds")}: ${name}`, across: say("day"), x: scene.days.map((each) => day(each.first)),
      series: [{ name: say("threshold"), values: scene.days.map((each) => each.threshold ?? null) }],
      rules: [{ name, value: scene.threshold }],
    }));
}

function calibration(found) {
  if (!found?.length) return null;
  return plot({
    title: say("calibration"), across: say("score"), x: found.map((each) => number(each.score, 2)),
    series: [{ name: say("confirmed"), values: found.map((each) => each.share) }, { name: say("score"), values: found.map((each) => each.score) }],
  });
}

function scenes(found) {
  const rows = Object.entries(found ?? {}).map(([name, scene]) => [
    name, scene.threshold === null ? "–" : number(scene.threshold, 4),
    ...["precision", "recall", "f1"].map((each) => figure(scene.holdout?.[each]))]);
  if (!rows.length) return null;
  return make("div", {}, make("h4", {}, say("scenes")),
    table(say("scenes"), [say("scene"), [say("threshold"), "n"], [say("precision"), "n"], [say("recall"), "n"], ["F1", "n"]], rows));
}

function clusters(found) {
  if (!found?.length) return null;
  return make("div", {}, make("h4", {}, say("clusters")), table(say("clusters"), [say("textsLike"), [say("rowsWord"), "n"], [say("agreed"), "n"], [say("missedRows"), "n"]],
    found.slice(0, 8).map((each) => [make("span.text", {}, each.examples.join(" · ")), number(each.rows), figure(each.covered), number(each.missed)])));
}

function hardest(found) {
  if (!found?.length) return null;
  return make("details", {}, make("summary", {}, say("hardest", { n: number(found.length) })),
    table(say("hardest", { n: number(found.length) }), [say("textWord"), say("teacher"), say("student")],
      found.map((each) => [make("span.text", {}, each.text), String(each.teacher), String(each.student)])));
}

// Lines over versions, rounds or days: a small SVG drawing, and the same figures as a table.

import { make, table } from "./dom.js";
import { number, say } from "./language.js";

const HEIGHT = 226;
const SPACE = { left: 40, top: 28, bottom: 44 };
const LETTER = 7.2; // pixels, of the names at the lines' ends
let count = 0;

const svg = (tag, attributes = {}, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
};

// {title, x: names along the bottom, series: [{name, values (null: none)}], rules: [{name, value}], digits, across,
// unit}. ``across`` says what stands along the bottom, ``unit`` what upwards. The drawing is as wide as its place
// and drawn again when that changes.
export function plot(given) {
  const drawing = svg("svg", { role: "img", height: HEIGHT, class: "plot" });
  const id = `plot-${++count}`;
  const digits = given.digits ?? 3;
  const rows = given.x.map((name, i) => [name, ...given.series.map((line) =>
    (known(line.values[i]) ? number(line.values[i], digits) : "–"))]);
  const figures = make("details.figures", {}, make("summary", {}, say("asTable")),
    table(given.title, [given.across, ...given.series.map((line) => [line.name, "n"])], rows));
  const figure = make("figure", {}, make("figcaption", {}, given.title), drawing, figures);
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (!figure.isConnected) observer.disconnect();
    else if (width > 0 && width !== drawing.width_) draw(drawing, given, digits, id, width);
  });
  observer.observe(figure);
  return figure;
}

function draw(drawing, { title, x, series, rules = [], across, unit }, digits, id, width) {
  drawing.width_ = width;
  const all = [...series.flatMap((line) => line.values), ...rules.map((rule) => rule.value)].filter(known);
  const [low, high, ticks] = all.length ? scale(Math.min(...all), Math.max(...all)) : scale(0, 1);
  const names = [...series, ...rules].map((line) => line.name);
  const right = Math.min(width / 3, 18 + LETTER * Math.max(...names.map(lengthOf)));
  const inner = width - SPACE.left - right;
  const at = (i) => SPACE.left + (x.length > 1 ? (inner * i) / (x.length - 1) : inner / 2);
  const height = (value) => SPACE.top + (HEIGHT - SPACE.top - SPACE.bottom) * (1 - (value - low) / (high - low));

  drawing.setAttribute("width", width);
  drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  drawing.setAttribute("aria-labelledby", `${id}-title ${id}-desc`);
  drawing.replaceChildren(svg("title", { id: `${id}-title` }, title),
    svg("desc", { id: `${id}-desc` }, describe(series, x, digits)));

  drawing.append(svg("text", { class: "tick", x: 0, y: 12 }, unit ?? say("share1")),
    svg("text", { class: "tick", x: SPACE.left + inner / 2, y: HEIGHT - 6, "text-anchor": "middle" }, across),
    svg("path", { class: "axis", d: `M${SPACE.left} ${SPACE.top - 6}V${HEIGHT - SPACE.bottom}H${SPACE.left + inner}` }));
  for (const tick of ticks) {
    const y = height(tick.value).toFixed(1);
    drawing.append(svg("line", { class: "grid", x1: SPACE.left, x2: SPACE.left + inner, y1: y, y2: y }),
      svg("text", { class: "tick", x: SPACE.left - 6, y: +y + 4, "text-anchor": "end" }, number(tick.value, tick.digits)));
  }
  const labels = [];
  for (const rule of rules) {
    const y = height(rule.value);
    drawing.append(svg("line", { class: "rule", x1: SPACE.left, x2: SPACE.left + inner, y1: y, y2: y }));
    labels.push({ y, name: rule.name, kind: "gate" });
  }
  // As many names along the bottom as have room.
  const room = Math.max(...x.map(lengthOf)) * 7 + 12;
  const every = Math.max(1, Math.ceil((room * x.length) / Math.max(inner, 1)));
  x.forEach((name, i) => {
    if ((x.length - 1 - i) % every) return;
    drawing.append(svg("text", { class: "tick", x: at(i), y: HEIGHT - SPACE.bottom + 17, "text-anchor": "middle" }, name));
  });
  series.forEach((line, n) => {
    const points = line.values.map((value, i) => [i, value]).filter(([, value]) => known(value));
    if (!points.length) return;
    // What nothing is known of is a gap, not a straight line.
    const stretches = [];
    for (const point of points) {
      if (stretches.at(-1)?.at(-1)[0] === point[0] - 1) stretches.at(-1).push(point);
      else stretches.push([point]);
    }
    for (const stretch of stretches) {
      drawing.append(svg("polyline", { class: `line s${n % 6}`, points: stretch.map(([i, v]) => `${at(i).toFixed(1)},${height(v).toFixed(1)}`).join(" ") }));
    }
    for (const [i, value] of points) {
      const dot = svg("circle", { class: `dot s${n % 6}`, cx: at(i).toFixed(1), cy: height(value).toFixed(1), r: 3.2 });
      dot.append(svg("title", {}, `${line.name}, ${x[i]}: ${number(value, digits)}`));
      drawing.append(dot);
    }
    labels.push({ y: height(points.at(-1)[1]), name: line.name, kind: `s${n % 6}` });
  });
  // Names stand at the lines' ends, pushed apart where they would meet.
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((label, i) => { if (i) label.y = Math.max(label.y, labels[i - 1].y + 14); });
  const over = (labels.at(-1)?.y ?? 0) - (HEIGHT - SPACE.bottom + 4);
  for (let i = labels.length - 1, shift = over; i >= 0 && shift > 0; i--) {
    labels[i].y -= shift;
    shift = i ? labels[i - 1].y + 14 - labels[i].y : 0;
  }
  for (const label of labels) {
    const text = svg("text", { class: `name ${label.kind}`, x: SPACE.left + inner + 8, y: label.y + 4 }, shortened(label.name, (right - 10) / LETTER));
    text.append(svg("title", {}, label.name));
    drawing.append(text);
  }
}

const known = (value) => value !== null && value !== undefined;

// A Chinese character takes nearly two letters' room.
const lengthOf = (text) => [...text].reduce((sum, c) => sum + (c > "\u2e7f" ? 1.8 : 1), 0);

function shortened(text, room) {
  if (lengthOf(text) <= room) return text;
  let start = [...text];
  while (start.length && lengthOf(start.join("")) > room - 1) start = start.slice(0, -1);
  return `${start.join("")}…`;
}

function describe(series, x, digits) {
  return series.map((line) => {
    const points = line.values.map((value, i) => [x[i], value]).filter(([, value]) => known(value));
    if (!points.length) return "";
    const [[first, from], [last, to]] = [points[0], points.at(-1)];
    return say("plotted", { name: line.name, first, from: number(from, digits), last, to: number(to, digits) });
  }).join(" ");
}

// Round borders around the values, and three to six ticks within.
export function scale(least, most) {
  const span = Math.max(most - least, 0.02);
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25].find((each) => span / each <= 4) ?? 0.25;
  const low = Math.max(0, Math.floor((least - span * 0.08) / step + 1e-9) * step);
  const high = Math.min(1, Math.ceil((most + span * 0.08) / step - 1e-9) * step);
  const digits = step === 0.25 || step < 0.1 ? 2 : 1;
  const ticks = [];
  for (let value = low; value <= high + 1e-9; value += step) ticks.push({ value, digits });
  return [low, Math.max(high, low + step), ticks];
}

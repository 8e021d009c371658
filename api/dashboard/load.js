// What waits, by priority and for how long, and the workers with what they have in hand.

import { $, arrange, make, put } from "./dom.js";
import { bytes, duration, number, say, sayKnown } from "./language.js";

const items = new Map(); // a worker's name: its element

export function draw({ state }) {
  if (state.queue) drawQueue(state.queue.levels);
  if (state.workers) drawWorkers(state.workers);
}

function drawQueue(levels) {
  const body = $("queue").tBodies[0];
  const most = Math.max(1, ...levels.map((level) => level.waiting));
  while (body.rows.length < levels.length) {
    body.append(make("tr", {}, make("th", { scope: "row" }), make("td.wide", { ariaHidden: "true" }, make("span.bar", {}, make("i"))),
      make("td.n"), make("td.n")));
  }
  levels.forEach((level, i) => {
    const row = body.rows[i];
    const [name, bar, count, age] = row.cells;
    row.classList.toggle("none", level.waiting === 0);
    put(name, String(level.priority));
    bar.querySelector("i").style.setProperty("width", `${(100 * level.waiting) / most}%`);
    put(count, number(level.waiting));
    const seconds = level.oldest_seconds ?? null;
    put(age, seconds === null || level.waiting === 0 ? "–" : duration(seconds));
  });
}

function drawWorkers(workers) {
  $("no-workers").hidden = workers.length > 0;
  for (const name of items.keys()) if (!workers.some((worker) => worker.name === name)) items.delete(name);
  arrange($("workers"), workers.map((worker) => {
    if (!items.has(worker.name)) {
      items.set(worker.name, make("li.worker", {}, make("div.line", {}, make("strong"), make("span.note.push")), make("p.note")));
    }
    const item = items.get(worker.name);
    const [queue, host] = worker.name.split("@");
    put(item.querySelector("strong"), sayKnown(`queue_${queue}`).replace("queue_", ""));
    put(item.querySelector(".push"), host ?? "");
    put(item.querySelector("p"), facts(worker).join(" · "));
    return item;
  }));
}

function facts(worker) {
  const parts = [];
  if (worker.threads) parts.push(say("busyOf", { n: number(worker.busy), of: number(worker.threads) }));
  if (worker.rows_per_second) parts.push(say("rate", { n: number(worker.rows_per_second) }));
  if (worker.memory_bytes) parts.push(bytes(worker.memory_bytes));
  return parts;
}

// Jobs as they run: progress, rate, time left, cancel, results.

import { $, announce, arrange, button, make, put, sure } from "./dom.js";
import { fileLink, post } from "./door.js";
import { current, duration, moment, number, say, sayKnown } from "./language.js";
import { sayText } from "./sentences.js";

const ENDED = ["completed", "failed", "cancelled"];
const FORMATS = { parquet: "Parquet", csv: "CSV", jsonl: "JSONL" };
const PAGE = 20;
const FILES_SHOWN = 2;
// Who decides rows of a task with a cascade, and the word for it.
const DECIDERS = { student: "by_student", transformer: "by_transformer", teacher: "by_teacher", unsure: "by_unsure" };

const cards = new Map(); // job id: its element
let limit = PAGE;

export const short = (id) => id.slice(-6);

export function begin(app) {
  const more = button("", () => {
    limit += PAGE;
    app.draw();
  }, { id: "more" });
  $("job-list").after(more);
  $("filter").addEventListener("change", () => {
    limit = PAGE;
    app.draw();
  });
}

export function draw(app) {
  const { order, jobs } = app.state;
  const filter = $("filter").value;
  const fits = (job) => job && (!filter || (filter === "open" ? !ENDED.includes(job.status) : job.status === filter));
  const wanted = order.map((id) => jobs.get(id)).filter(fits);
  for (const id of cards.keys()) if (!jobs.has(id)) cards.delete(id);
  arrange($("job-list"), wanted.slice(0, limit).map((job) => {
    const card = cards.get(job.id) ?? newCard(job);
    write(app, card, job);
    return card;
  }));
  $("no-jobs").hidden = wanted.length > 0;
  put($("no-jobs"), say(filter ? "noneOfThese" : "noJobs"));
  $("more").hidden = wanted.length <= limit;
  put($("more"), say("more"));
}

function newCard(job) {
  const part = (kind) => make(kind);
  const card = make("li.job", {},
    make("div.line", {}, make("strong.names"), make("span.badge"), make("code.id.push", {}, job.id)),
    make("progress", { max: 1 }),
    make("div.line.facts", {}, ...["rows", "rate", "left", "place", "bad", "level"].map((name) => part(`span.${name}`)),
      make("time"), make("span.actions.push")),
    make("div.line.facts", {}, ...["files", "owner", "notes"].map((name) => part(`span.${name}`))),
    make("p.facts.decided"),
    make("p.facts.workers"),
    make("p.facts.waits"),
    make("p.fault"));
  card.dataset.id = job.id;
  cards.set(job.id, card);
  return card;
}

function write(app, card, job) {
  const part = (name) => card.querySelector(`.${name}`);
  const { total, completed, failed } = job.counts;
  const ended = ENDED.includes(job.status);
  card.dataset.status = job.status;
  put(part("badge"), sayKnown(job.status));
  put(part("names"), job.tasks.filter((t) => !t.hidden).map((t) => (t.scene === "default" ? t.task : `${t.task}@${t.scene}`)).join(", "));

  const bar = card.querySelector("progress");
  bar.ariaLabel = say("progress", { id: short(job.id) });
  if (job.progress !== null) bar.value = job.progress;
  else if (job.status === "queued" || ended) bar.value = job.status === "completed" ? 1 : 0;
  else bar.removeAttribute("value");
  bar.hidden = job.status === "completed";

  if (ended && total > 0) put(part("rows"), say(total === completed + failed ? "rowsAll" : "rows", { done: number(completed + failed), total: number(total) }));
  else if (total > 0) put(part("rows"), say("rows", { done: number(completed + failed), total: number(total) }));
  else if (ended) put(part("rows"), say("rowsAll", { total: number(completed + failed) }));
  else if (completed + failed > 0) put(part("rows"), say("rowsSoFar", { done: number(completed + failed) }));
  else put(part("rows"), { queued: say("rowsQueued"), running: say("rowsUnknown") }[job.status] ?? "");
  put(part("rate"), job.rows_per_second ? say("rate", { n: number(job.rows_per_second, job.rows_per_second < 10 ? 1 : 0) }) : "");
  const left = ended || total === 0 ? null : job.seconds_left;
  put(part("left"), typeof left === "number" ? say("left", { time: duration(left) }) : "");
  put(part("place"), typeof job.place === "number" && job.status === "queued" ? say("place", { n: number(job.place + 1) }) : "");
  put(part("bad"), failed ? say("bad", { n: number(failed) }) : "");
  put(part("level"), say("priority", { n: job.priority }));
  put(part("files"), fileNames(job.inputs));
  part("files").title = job.inputs.join("\n");
  put(part("owner"), job.owner ? say("ownedBy", { name: job.owner }) : "");
  put(part("notes"), Object.entries(job.metadata ?? {}).map(([name, value]) => `${name}: ${value}`).join(" · "));
  put(part("decided"), decidedBy(job.decided ?? {}));
  put(part("workers"), workersOf(job.workers ?? {}));
  put(part("waits"), job.waits_for ? say("waitsFor", { what: sayText(job.waits_for) }) : "");
  put(part("fault"), job.error ?? "");

  const begin = Object.values(job.timestamps).sort()[0];
  const time = card.querySelector("time");
  time.dateTime = begin;
  time.title = Object.entries(job.timestamps).map(([s, at]) => `${sayKnown(s)} ${new Date(at).toLocaleString(current())}`).join("\n");
  put(time, moment(begin));

  // Built again only when they change, so that the keyboard's focus stays where it is.
  const wanted = `${current()} ${job.status} ${completed > 0} ${failed > 0} ${app.may("submit")}`;
  if (card.dataset.actions !== wanted) {
    const held = part("actions").contains(document.activeElement);
    card.dataset.actions = wanted;
    part("actions").replaceChildren(...actions(app, job));
    if (held) (part("actions").querySelector("a, button") ?? $("jobs-title")).focus();
  }
}

// The first files by their names; the whole list is the element's title.
function fileNames(inputs) {
  const names = inputs.slice(0, FILES_SHOWN).map((path) => path.split("/").at(-1));
  const more = inputs.length - names.length;
  return more > 0 ? say("andMore", { names: names.join(", "), n: number(more) }) : names.join(", ");
}

// Of tasks with a cascade, how many rows student and teacher decided.
function decidedBy(tasks) {
  return Object.entries(tasks).map(([task, counts]) => {
    const parts = [...new Set([...Object.keys(DECIDERS), ...Object.keys(counts)])].filter((who) => counts[who])
      .map((who) => `${DECIDERS[who] ? say(DECIDERS[who]) : who} ${number(counts[who])}`);
    return say("decidedBy", { task, parts: parts.join(say("comma")) });
  }).join(" · ");
}

// Which worker has which shards under way.
function workersOf(shards) {
  const byWorker = Map.groupBy(Object.entries(shards), ([, worker]) => worker);
  return [...byWorker].map(([worker, entries]) => {
    const numbers = entries.map(([shard]) => shard).filter((shard) => /^[0-9]+$/.test(shard));
    const parts = entries.map(([shard]) => shard).filter((shard) => !/^[0-9]+$/.test(shard)).map(sayKnown);
    if (numbers.length) parts.push(say(numbers.length === 1 ? "shardNumber" : "shardNumbers", { n: numbers.join(", ") }));
    return say("shardOn", { shard: parts.join(", "), worker });
  }).join(" · ");
}

function actions(app, job) {
  const links = [];
  const id = short(job.id);
  if (job.counts.failed > 0) {
    links.push(fileLink(say("badRows"), job.links.errors, `${job.id}-errors.jsonl`, say("badRowsOf", { id }), app.fault));
  }
  if (job.status === "completed" || (job.status === "cancelled" && job.counts.completed > 0)) {
    for (const [format, name] of Object.entries(FORMATS)) {
      const label = say("download", { id, format: name });
      links.push(fileLink(name, `${job.links.results}?format=${format}`, `${job.id}.${format}`, label, app.fault));
    }
  }
  if ((job.status === "queued" || job.status === "running") && app.may("submit")) {
    links.push(button(say("cancel"), (event) => cancel(app, job, event.currentTarget), { ariaLabel: say("cancelLabel", { id }) }));
  }
  return links;
}

async function cancel(app, job, pressed) {
  if (!(await sure(say("sure", { id: short(job.id) }), say("cancelIt"), say("keep")))) return;
  pressed.disabled = true;
  try {
    await post(`${job.links.self}/cancel`);
    announce(say("cancelSent", { id: short(job.id) }));
  } catch (error) {
    app.fault(error);
  }
  pressed.disabled = false;
}

// The dashboard: asks the REST door every two seconds and writes what changed. Every value goes in by
// textContent or a property, never as HTML.

import { WORDS } from "./words.js";

const PERIOD_MS = 2000;
const ENDED = ["completed", "failed", "cancelled"];
const FORMATS = { parquet: "Parquet", csv: "CSV", jsonl: "JSONL" };
const $ = (id) => document.getElementById(id);

let language = localStorage.getItem("pingti-language")
  ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
let limit = 20;
let timer = 0;
let last = null; // the answers of the last round, to write again in another language
const cards = new Map(); // job id → its element
const seen = new Map(); // job id → status, to announce changes

function say(word, values = {}) {
  return WORDS[language][word].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
const number = (n, digits = 0) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(n);
const short = (id) => id.slice(-6);

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, text, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) element.textContent = text;
  return element;
}

// ---- the REST door

class KeyNeeded extends Error {}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem("pingti-key");
  // A header holds bytes: those of the key's UTF-8.
  const bytes = String.fromCharCode(...new TextEncoder().encode(key ?? ""));
  const headers = key ? { Authorization: `Bearer ${bytes}` } : {};
  const answer = await fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (answer.status === 401) throw new KeyNeeded();
  return answer;
}

async function json(path, options) {
  const answer = await ask(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText);
  return body;
}

// Without a key a plain link streams to the disk. With one, the browser cannot send it along a link.
async function fetchLink(event) {
  const link = event.currentTarget;
  if (!sessionStorage.getItem("pingti-key")) return;
  event.preventDefault();
  try {
    const answer = await ask(link.href);
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const address = URL.createObjectURL(await answer.blob());
    make("a", "", { href: address, download: link.dataset.name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  } catch (error) {
    showFault(error);
  }
}

function fileLink(text, href, name, label) {
  const link = make("a", text, { href, ariaLabel: label });
  link.dataset.name = name;
  link.addEventListener("click", fetchLink);
  return link;
}

// ---- jobs

function jobCard(job) {
  const card = $("job-card").content.firstElementChild.cloneNode(true);
  card.dataset.id = job.id;
  const id = card.querySelector(".id");
  id.textContent = job.id;
  cards.set(job.id, card);
  return card;
}

function writeJob(card, job) {
  const part = (name) => card.querySelector(`.${name}`);
  const { total, completed, failed } = job.counts;
  card.dataset.status = job.status;
  put(part("badge"), say(job.status));
  put(part("names"), job.tasks.filter((t) => !t.hidden).map((t) => (t.scene === "default" ? t.task : `${t.task}@${t.scene}`)).join(", "));

  const bar = card.querySelector("progress");
  bar.ariaLabel = say("progress", { id: short(job.id) });
  if (job.progress !== null) bar.value = job.progress;
  else if (job.status === "queued" || ENDED.includes(job.status)) bar.value = job.status === "completed" ? 1 : 0;
  else bar.removeAttribute("value");

  if (total > 0 || job.status === "completed") {
    put(part("rows"), say("rows", { done: number(completed + failed), total: number(total) }));
  } else {
    const word = { queued: "rowsQueued", running: "rowsUnknown" }[job.status];
    put(part("rows"), word ? say(word) : "");
  }
  put(part("rate"), job.rows_per_second ? say("rate", { n: number(job.rows_per_second) }) : "");
  put(part("bad"), failed ? say("bad", { n: number(failed) }) : "");
  put(part("level"), say("priority", { n: job.priority }));
  put(part("fault"), job.error ?? "");

  const begin = Object.values(job.timestamps).sort()[0];
  const time = card.querySelector("time");
  time.dateTime = begin;
  time.title = Object.entries(job.timestamps).map(([s, at]) => `${say(s)} ${new Date(at).toLocaleString(language)}`).join("\n");
  put(time, new Date(begin).toLocaleString(language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }));

  // Built again only when they change, so that the keyboard's focus stays where it is.
  const wanted = `${language} ${job.status} ${failed > 0}`;
  if (card.dataset.actions !== wanted) {
    const held = part("actions").contains(document.activeElement);
    card.dataset.actions = wanted;
    part("actions").replaceChildren(...actions(job));
    if (held) (part("actions").querySelector("a, button") ?? $("jobs")).focus();
  }
}

function actions(job) {
  const made = [];
  if (job.counts.failed > 0) {
    made.push(fileLink(say("badRows"), job.links.errors, `${job.id}-errors.jsonl`));
  }
  if (job.status === "completed" || job.status === "cancelled") {
    for (const [format, name] of Object.entries(FORMATS)) {
      const label = say("download", { id: short(job.id), format: name });
      made.push(fileLink(name, `${job.links.results}?format=${format}`, `${job.id}.${format}`, label));
    }
  }
  if (job.status === "queued" || job.status === "running") {
    const button = make("button", say("cancel"), { type: "button", ariaLabel: say("cancelLabel", { id: short(job.id) }) });
    button.addEventListener("click", () => cancel(job, button));
    made.push(button);
  }
  return made;
}

function cancel(job, button) {
  const dialog = $("sure");
  put($("sure-text"), say("sure", { id: short(job.id) }));
  dialog.returnValue = "no";
  dialog.onclose = async () => {
    if (dialog.returnValue !== "yes") return button.focus();
    button.disabled = true;
    try {
      await json(`${job.links.self}/cancel`, { method: "POST" });
    } catch (error) {
      showFault(error);
    }
    button.disabled = false;
    tick();
  };
  dialog.showModal();
}

function writeJobs(page) {
  const news = [];
  const wanted = page.items.map((job) => {
    const card = cards.get(job.id) ?? jobCard(job);
    writeJob(card, job);
    const before = seen.get(job.id);
    if (before && before !== job.status) news.push(say("news", { id: short(job.id), status: say(job.status) }));
    seen.set(job.id, job.status);
    return card;
  });
  if (news.length) put($("news"), news.join(" "));
  const list = $("job-list");
  for (const card of [...list.children]) {
    if (!wanted.includes(card)) {
      card.remove();
      cards.delete(card.dataset.id);
    }
  }
  // New jobs come first: put each before the one that follows it, and move none that stands right.
  wanted.forEach((card, i) => {
    if (list.children[i] !== card) list.insertBefore(card, list.children[i] ?? null);
  });
  $("no-jobs").hidden = wanted.length > 0;
  $("more").hidden = page.next_cursor === null || limit >= 100;
}

// ---- queue, tasks, health

function writeQueue({ levels }) {
  const list = $("levels");
  const most = Math.max(1, ...levels.map((level) => level.waiting));
  while (list.children.length < levels.length) {
    const item = make("li");
    const bar = make("span", "", { className: "bar", ariaHidden: "true" });
    bar.append(make("i"));
    item.append(make("span", "", { ariaHidden: "true" }), bar, make("span", "", { className: "count", ariaHidden: "true" }),
      make("span", "", { className: "hidden" }));
    list.append(item);
  }
  levels.forEach((level, i) => {
    const [name, bar, count, spoken] = list.children[i].children;
    put(name, String(level.priority));
    bar.firstElementChild.style.setProperty("width", `${(100 * level.waiting) / most}%`);
    put(count, number(level.waiting));
    count.classList.toggle("none", level.waiting === 0);
    put(spoken, say("level", { n: level.priority, waiting: number(level.waiting) }));
  });
}

function writeTasks({ items }) {
  const state = JSON.stringify([language, items]);
  const body = $("task-list");
  if (body.dataset.state === state) return;
  body.dataset.state = state;
  $("no-tasks").hidden = items.length > 0;
  $("task-box").hidden = items.length === 0;
  body.replaceChildren(...items.flatMap((task) => {
    const row = make("tr");
    const figure = (value, least) => {
      const cell = make("td", value === undefined ? "–" : number(value, 3));
      if (value !== undefined && least !== undefined) cell.className = value >= least ? "pass" : "fall";
      return cell;
    };
    const gate = make("td", !task.gate ? "–" : `${say("gateText", { p: number(task.gate.precision, 2), r: number(task.gate.recall, 2) })} `);
    if (task.gate_passed !== null) {
      gate.append(make("span", `${task.gate_passed ? "✓" : "✗"} ${say(task.gate_passed ? "passed" : "below")}`,
        { className: task.gate_passed ? "pass" : "fall" }));
    }
    const report = make("td");
    if (task.current !== null) {
      const path = `/v1/tasks/${encodeURIComponent(task.name)}/versions/${task.current}/report`;
      const label = say("pageOf", { task: task.name, n: task.current });
      report.append(fileLink("JSON", path, `${task.name}-${task.current}.json`, `${label}, JSON`));
      if (task.report_page) {
        report.append(" ", fileLink(say("page"), `${path}.html`, `${task.name}-${task.current}.html`, label));
      }
    }
    const name = make("th", task.name, { scope: "row", title: task.classes.join(", ") });
    row.append(name, make("td", task.current === null ? say("none") : say("v", { n: task.current })),
      figure(task.holdout?.f1), figure(task.holdout?.precision, task.gate?.precision),
      figure(task.holdout?.recall, task.gate?.recall), gate, make("td", task.scenes.join(", ")),
      make("td", task.retrain_at ?? "–"), report);
    if (!task.fault) return [row];
    const fault = make("tr", undefined, { className: "of-above" });
    fault.append(make("td", task.fault, { className: "fault", colSpan: 9 }));
    return [row, fault];
  }));
}

function banner(kind, text) {
  $("health").className = `banner ${kind}`;
  put($("health"), text);
}

function writeHealth(health) {
  if (health.ready) return banner("good", say("ready"));
  const why = [health.broker, health.workers].filter((text) => text !== "ok").join(" ");
  banner("warn", say("notReady", { why }));
}

function showFault(error) {
  if (error instanceof KeyNeeded) return askForKey();
  banner("bad", error instanceof TypeError || error.name === "TimeoutError" ? say("away") : error.message);
}

function write() {
  if (!last) return;
  writeHealth(last.health);
  writeJobs(last.jobs);
  writeQueue(last.queue);
  writeTasks(last.tasks);
}

// ---- the round

function askForKey() {
  const given = sessionStorage.getItem("pingti-key") !== null;
  sessionStorage.removeItem("pingti-key");
  clearTimeout(timer);
  $("content").hidden = true;
  $("forget").hidden = true;
  $("health").hidden = true;
  if ($("ask").hidden || given) {
    $("ask").hidden = false;
    put($("key-fault"), given ? say("wrongKey") : "");
    $("key").value = "";
    $("key").focus();
  }
}

async function tick() {
  clearTimeout(timer);
  if (document.hidden) return; // looked at again: visibilitychange
  const round = (tick.round = (tick.round ?? 0) + 1);
  try {
    const status = $("filter").value;
    const [jobs, queue, tasks, health] = await Promise.all([
      json(`/v1/jobs?limit=${limit}${status ? `&status=${status}` : ""}`),
      json("/v1/queue"),
      json("/v1/tasks"),
      ask("/readyz").then((answer) => answer.json()),
    ]);
    if (round !== tick.round) return; // a later round has begun: this one's answers are old
    last = { jobs, queue, tasks, health };
    $("ask").hidden = true;
    $("health").hidden = false;
    $("content").hidden = false;
    $("forget").hidden = sessionStorage.getItem("pingti-key") === null;
    write();
  } catch (error) {
    if (round !== tick.round) return;
    showFault(error);
    if (error instanceof KeyNeeded) return;
  }
  timer = setTimeout(tick, PERIOD_MS);
}

function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) {
    if (element.id !== "health" || !last) element.textContent = say(element.dataset.word);
  }
  put($("language"), say("other"));
  $("language").lang = say("otherLang");
  write();
}

$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("pingti-language", language);
  translate();
});
$("filter").addEventListener("change", () => { limit = 20; tick(); });
$("more").addEventListener("click", () => { limit = limit < 50 ? 50 : 100; tick(); });
$("forget").addEventListener("click", () => { sessionStorage.removeItem("pingti-key"); last = null; tick(); });
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("pingti-key", $("key").value);
  tick();
});
document.addEventListener("visibilitychange", tick);

translate();
tick();

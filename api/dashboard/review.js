// Rows on which the teacher is unsure, labelled by keyboard: a digit or letter chooses a class, arrows or j and k
// move, u takes the last label back. Labels are sent a few seconds later, or when the page is left.

import { $, announce, button, make } from "./dom.js";
import { get, post } from "./door.js";
import { current, number, say } from "./language.js";
import { sayText } from "./sentences.js";

const SEND_MS = 2500;
const PAGE = 100;
const AT_ONCE = 25; // texts that the student is asked about together
const KEYS = "1234567890qwertyiopasdfghlzxcvbnm"; // of the classes, in their order; j, k and u do other things

let task = null; // the task's name
let rows = null; // rows to label, as the server gave them; each gets .label
let more = false; // whether the server has rows that are not fetched yet
let at = 0;
let given = []; // indices in the order in which they were labelled
let unsent = new Set();
let sent = new Set();
let timer = 0;
let drawn = "";
let focusNext = false;
let asked = new Set(); // texts that the student was asked about

export function begin(app) {
  $("review-task").addEventListener("change", (event) => { location.hash = `#/review/${event.target.value}`; });
  document.addEventListener("visibilitychange", () => { if (document.hidden) send(app); });
  window.addEventListener("pagehide", () => send(app));
  $("review").addEventListener("keydown", (event) => key(app, event));
}

export function show(app, [name]) {
  const wanted = name || task || likeliest(app.state.tasks ?? []);
  if (wanted === task && rows) return;
  send(app);
  task = wanted;
  rows = null;
  drawn = "";
  if (task) load(app);
}

// Only a task with a student can have rows.
const likeliest = (tasks) => (tasks.find((entry) => entry.current !== null) ?? tasks[0])?.name ?? null;

export function translated() {
  drawn = "";
}

export function draw(app) {
  const names = app.state.tasks.map((entry) => entry.name);
  const menu = $("review-task");
  if (JSON.stringify([...menu.options].map((option) => option.value)) !== JSON.stringify(names)) {
    menu.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  }
  if (task === null && names.length) show(app, []);
  menu.value = task ?? "";
  const classes = app.state.tasks.find((entry) => entry.name === task)?.classes ?? [];
  askStudent(app);
  const wanted = JSON.stringify([current(), task, rows?.length ?? -1, at, rows?.[at]?.label, rows?.[at]?.student, unsent.size, sent.size, classes]);
  if (wanted === drawn) return;
  drawn = wanted;
  const held = $("review").contains(document.activeElement) || focusNext;
  const place = document.activeElement?.dataset?.hold;
  focusNext = false;
  $("review").replaceChildren(...content(app, classes));
  if (held) ($("review").querySelector(place ? `[data-hold="${place}"]` : "#desk") ?? $("review-title")).focus();
}

async function load(app) {
  const name = task;
  at = 0;
  given = [];
  unsent = new Set();
  sent = new Set();
  asked = new Set();
  more = false;
  try {
    const page = await get(`/v1/tasks/${encodeURIComponent(name)}/review?limit=${PAGE}`);
    if (name !== task) return;
    rows = page.items;
    more = page.next_cursor !== null;
    focusNext = location.hash.startsWith("#/review") && !document.activeElement?.closest("header, select");
  } catch (error) {
    rows = [];
    app.fault(error);
  }
  app.draw();
}

async function loadMore(app) {
  if (!more) return;
  more = false;
  try {
    // Rows whose labels the server has are no longer among those that it counts.
    const from = rows.length - sent.size;
    const page = await get(`/v1/tasks/${encodeURIComponent(task)}/review?limit=${PAGE}&cursor=${from}`);
    const known = new Set(rows.map((row) => row.text));
    rows.push(...page.items.filter((row) => !known.has(row.text)));
    more = page.next_cursor !== null;
  } catch (error) {
    more = true;
    app.fault(error);
  }
  app.draw();
}

// What the student in use decides of this row and those that follow: a key that may only read cannot ask.
async function askStudent(app) {
  const own = app.state.tasks.find((entry) => entry.name === task);
  if (!rows?.[at] || asked.has(rows[at].text) || own?.current === null || own?.fault || !app.may("submit")) return;
  const [name, from] = [task, rows];
  const going = from.slice(at, at + AT_ONCE).filter((row) => !asked.has(row.text));
  for (const row of going) asked.add(row.text);
  try {
    const { results } = await post("/v1/classify", { texts: going.map((row) => row.text), tasks: [name] });
    if (rows !== from) return;
    going.forEach((row, i) => { row.student = scoresOf(results[i][name], own.classes); });
    app.draw();
  } catch {
    // The row can be labelled without.
  }
}

// Of two classes both scores are known, of more only that of the one decided on.
function scoresOf({ label, score }, classes) {
  if (label === null || score === null) return {};
  return classes.length === 2 ? { [classes[0]]: 1 - score, [classes[1]]: score } : { [label]: score };
}

// ---- what is shown

function content(app, classes) {
  if (!task) return [make("p.empty", {}, say("noTasks"))];
  if (rows === null) return [make("p.note", {}, say("connecting"))];
  if (!rows.length) return [make("p.empty", {}, say("noReview", { task }), " ", make("a", { href: `#/tasks/${task}` }, say("toTask", { task })))];
  const row = rows[at];
  const choices = classes.map((name, i) => {
    const choice = button("", () => choose(app, name), { className: "class", ariaPressed: String(row.label === name), disabled: !app.may("submit"), "data-hold": `class-${i}` });
    const scores = make("span.scores", {}, score("teacher", row.teacher, name), score("student", row.student, name));
    choice.append(KEYS[i] ? make("kbd", { ariaHidden: "true" }, KEYS[i]) : "", make("span.class-name", {}, name), scores);
    if (KEYS[i]) choice.setAttribute("aria-keyshortcuts", KEYS[i]);
    return choice;
  });
  const done = rows.filter((entry) => entry.label).length;
  const desk = make("div.desk", { id: "desk", tabIndex: 0, role: "group", ariaLabel: say("deskOf", { n: number(at + 1), of: number(rows.length) }), "aria-describedby": "row-text row-why row-label review-keys" },
    make("p.note.line", {}, make("span", {}, say("rowOf", { n: number(at + 1), of: number(rows.length) })), make("code", {}, row.id ?? ""), make("span.push", { id: "row-why" }, row.reason ? say("chosenBecause", { why: sayText(row.reason) }) : "")),
    make("p.text", { id: "row-text", lang: "" }, row.text),
    make("p.hidden", { id: "row-label" }, row.label ? say("labelled", { label: row.label }) : ""),
    make("div.classes", {}, ...choices),
    make("div.line", {}, button(`← ${say("earlier")}`, () => move(app, -1), { disabled: at === 0, "data-hold": "earlier" }),
      button(`${say("later")} →`, () => move(app, 1), { disabled: at === rows.length - 1, "data-hold": "later" }),
      button(say("undo"), () => undo(app), { disabled: !given.length, "data-hold": "undo" }),
      make("span.note.push", { id: "review-state" }, stateText(done))));
  return [
    make("progress", { max: rows.length, value: done, ariaLabel: say("labelledOf", { n: number(done), of: number(rows.length) }) }),
    desk,
    make("p.note", { id: "review-keys" }, say("keys", { last: KEYS[Math.min(classes.length, KEYS.length) - 1] })),
  ];
}

// How likely the class is to the one who is asked; "–" where that is not known. The likeliest is bold.
function score(who, scores, name) {
  const known = scores?.[name];
  const likely = known !== undefined && known === Math.max(...Object.values(scores));
  return make("span", { className: likely ? "likely" : "" }, `${say(who)} ${known === undefined ? "–" : number(known, 2)}`);
}

function stateText(done) {
  const text = say("labelledOf", { n: number(done), of: number(rows.length) });
  return unsent.size ? `${text} · ${say("unsent", { n: number(unsent.size) })}` : sent.size ? `${text} · ${say("allSent")}` : text;
}

// ---- what is done

function key(app, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !rows?.length) return;
  const classes = app.state.tasks.find((entry) => entry.name === task)?.classes ?? [];
  const name = event.key.length === 1 ? classes[KEYS.indexOf(event.key)] : undefined;
  if (name) choose(app, name);
  else if (["ArrowRight", "ArrowDown", "j"].includes(event.key)) move(app, 1);
  else if (["ArrowLeft", "ArrowUp", "k"].includes(event.key)) move(app, -1);
  else if (event.key === "u") undo(app);
  else return;
  event.preventDefault();
}

function move(app, step) {
  at = Math.min(rows.length - 1, Math.max(0, at + step));
  if (rows.length - at < 20) loadMore(app);
  announce(`${say("rowOf", { n: at + 1, of: rows.length })}: ${rows[at].text}`);
  app.draw();
}

function choose(app, name) {
  if (!app.may("submit")) return;
  rows[at].label = name;
  given.push(at);
  unsent.add(at);
  sent.delete(at);
  later(app);
  if (at < rows.length - 1) move(app, 1);
  else announce(say("labelled", { label: name }));
  app.draw();
}

// A label that is sent stays on the server until another takes its place.
function undo(app) {
  if (!given.length) return;
  at = given.pop();
  if (unsent.delete(at)) {
    rows[at].label = undefined;
    announce(say("undone"));
  } else {
    announce(say("undoneSent"));
  }
  app.draw();
}

function later(app) {
  clearTimeout(timer);
  timer = setTimeout(() => send(app), SEND_MS);
}

async function send(app) {
  clearTimeout(timer);
  if (!unsent.size || !rows) return;
  const going = [...unsent];
  const [name, from, done] = [task, rows, sent];
  unsent.clear();
  const labels = going.map((i) => ({ text: from[i].text, label: from[i].label }));
  try {
    const answer = await post(`/v1/tasks/${encodeURIComponent(name)}/labels`, { labels }, { keepalive: labels.length < 100 });
    for (const i of going) done.add(i);
    app.fault(answer.bad?.length ? new Error(answer.bad.join(" ")) : null);
  } catch (error) {
    if (name === task && rows === from) for (const i of going) if (!done.has(i)) unsent.add(i);
    if (!error.status) later(app);
    app.fault(error);
  }
  app.draw();
}

// The dashboard: what the server's events say, kept in one state and drawn by the view that is looked at.

import * as compare from "./compare.js";
import { $, announce, make, put } from "./dom.js";
import { get, key, KeyNeeded, watch } from "./door.js";
import * as jobs from "./jobs.js";
import { change, say, sayKnown, translate } from "./language.js";
import * as load from "./load.js";
import * as newTask from "./new_task.js";
import * as nights from "./nights.js";
import * as review from "./review.js";
import { sayText } from "./sentences.js";
import * as submit from "./submit.js";
import * as tasks from "./tasks.js";

const VIEWS = { jobs: [jobs, submit, load], tasks: [tasks, newTask], compare: [compare], review: [review], nights: [nights] };
const PART_OF = { compare: "tasks" }; // views that no link at the top is of: the one that is marked
const ROLES = ["read", "submit", "admin"];

const state = { health: null, queue: null, workers: null, tasks: null, runs: null, order: [], jobs: new Map(), role: "admin" };
const app = {
  state,
  may: (role) => ROLES.indexOf(state.role) >= ROLES.indexOf(role),
  fault: showFault,
  draw: drawSoon,
};
let view = "jobs";
let unwatch = () => {};
let drawing = 0;

// ---- what comes in

function take(name, data) {
  if (name === "job") {
    const before = state.jobs.get(data.id);
    state.jobs.set(data.id, data);
    if (before && before.status !== data.status) {
      announce(say("news", { id: jobs.short(data.id), status: sayKnown(data.status) }));
    }
  } else if (name === "jobs") {
    state.order = data;
    const known = new Set(data);
    for (const id of state.jobs.keys()) if (!known.has(id)) state.jobs.delete(id);
  } else {
    state[name] = data;
  }
  $("ask").hidden = true;
  app.lost = false;
  drawSoon();
}

function lost(error) {
  if (error instanceof KeyNeeded) return askForKey();
  app.lost = true;
  drawSoon();
}

async function begin() {
  unwatch();
  unwatch = watch(take, lost);
  try {
    state.role = (await get("/v1/me")).role;
  } catch {
    state.role = "admin"; // the server refuses what the key may not do
  }
  drawSoon();
}

// ---- what is shown

function drawSoon() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    draw();
  });
}

function draw() {
  drawHealth();
  nights.count(app);
  $("forget").hidden = key() === null;
  const known = state.tasks !== null;
  for (const name of Object.keys(VIEWS)) $(`view-${name}`).hidden = !known || name !== view;
  if (known) for (const part of VIEWS[view]) part.draw(app);
}

function drawHealth() {
  const health = $("health");
  if (app.lost) return tell("bad", say("away"));
  if (!state.health) return tell("", say("connecting"));
  if (state.health.ready) return tell("good", say("ready"));
  const why = [state.health.broker, state.health.workers].filter((text) => !["ok", "unknown"].includes(text)).map(sayText).join(" ");
  return tell("warn", say("notReady", { why }));

  function tell(kind, text) {
    health.className = `health ${kind}`;
    put(health, text);
  }
}

function showFault(error) {
  if (error instanceof KeyNeeded) return askForKey();
  const text = error === null ? "" : error instanceof TypeError || error.name === "TimeoutError" ? say("away") : error.message;
  put($("fault"), text);
}

function route(event) {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  view = name in VIEWS ? name : "jobs";
  for (const link of $("views").children) {
    if (link.dataset.view === (PART_OF[view] ?? view)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  showFault(null);
  if ($("sure").open) $("sure").close(); // its question was about the page that is left
  for (const part of VIEWS[view]) part.show?.(app, rest);
  draw();
  // Whoever follows a link with the keyboard or a screen reader is taken to what it opened.
  // Whoever chooses from a menu stays there: what is typed next is not meant for the page.
  if (event && !document.activeElement?.closest("select")) $(`view-${view}`).querySelector("h2:not([hidden] *)")?.focus();
}

// ---- key and language

function askForKey() {
  const given = key() !== null;
  sessionStorage.removeItem("pingti-key");
  unwatch();
  Object.assign(state, { tasks: null, health: null });
  draw();
  put($("health"), "");
  $("ask").hidden = false;
  put($("key-fault"), given ? say("wrongKey") : "");
  $("key").value = "";
  $("key").focus();
}

function speak() {
  translate();
  put($("language"), say("other"));
  $("language").lang = say("otherLang");
  for (const part of Object.values(VIEWS).flat()) part.translated?.(app);
  draw();
}

$("language").addEventListener("click", () => {
  change();
  speak();
});
$("forget").addEventListener("click", () => {
  sessionStorage.removeItem("pingti-key");
  begin();
});
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("pingti-key", $("key").value);
  begin();
});
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which view is open
  $("main").focus();
});
window.addEventListener("hashchange", route);
for (const part of Object.values(VIEWS).flat()) part.begin?.(app);
for (const element of document.querySelectorAll("noscript")) element.remove();
document.body.append(make("div.hidden", { id: "ready" }));

speak();
route();
begin();

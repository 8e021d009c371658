// The form of a new task: what is asked, of which teacher, over which texts; then its replacement is started.

import { columnsOf, likelyText, offer, sayColumns } from "./columns.js";
import { $, announce, put } from "./dom.js";
import { post, putJson } from "./door.js";
import { say } from "./language.js";

let names = null; // columns of the corpus's first file, where its header is known
let asking = 0;

export function begin(app) {
  $("task-files").addEventListener("change", look);
  $("task-check").addEventListener("click", () => store(app, true));
  $("task-form").addEventListener("submit", (event) => {
    event.preventDefault();
    store(app, false);
  });
  $("new-task").addEventListener("toggle", () => {
    if ($("new-task").open) $("task-name").focus();
  });
}

export function draw(app) {
  $("new-task").hidden = !app.may("admin");
}

export function translated() {
  if (names) showColumns(names);
}

const lines = (id) => $(id).value.split("\n").map((line) => line.trim()).filter(Boolean);

// A definition's paths count from the folder tasks; an input's from the workspace.
const asInput = (path) => (path.startsWith("/") ? path : `tasks/${path}`);

async function look() {
  const turn = ++asking;
  const first = lines("task-files")[0];
  let known = null;
  try {
    if (first) known = await columnsOf(asInput(first));
    put($("task-fault"), "");
  } catch (error) {
    if (turn === asking) put($("task-fault"), error.status ? error.message : "");
  }
  if (turn === asking) showColumns(known);
}

function showColumns(known) {
  names = known;
  offer("task-text", known, known && likelyText(known));
  offer("task-time", known, known?.find((name) => /time|date|seen|created|日期|时间/i.test(name)) ?? "", say("noColumn"));
  sayColumns($("task-columns"), known);
}

function definition() {
  const text = $("task-text").value.trim();
  const time = $("task-time").value.trim();
  const shares = ["precision", "recall"].map((name) => [name, Number($(`task-${name}`).value)]);
  return {
    classes: $("task-classes").value.split(/[,，\n]/).map((name) => name.trim()).filter(Boolean),
    corpus: { files: lines("task-files"), ...(text && { text }), ...(time && { time }) },
    teacher: { model: $("task-teacher").value.trim() },
    gate: Object.fromEntries(shares),
    ...($("task-night").value && { retrain: { at: $("task-night").value } }),
  };
}

async function store(app, dry) {
  const name = $("task-name").value.trim();
  put($("task-fault"), "");
  put($("task-state"), say("checking"));
  for (const id of ["task-save", "task-check"]) $(id).disabled = true;
  try {
    if (!name) throw new Error(say("needName"));
    if (app.state.tasks.some((task) => task.name === name)) throw new Error(say("taskIsThere", { task: name }));
    const path = `/v1/tasks/${encodeURIComponent(name)}`;
    await putJson(`${path}/definition${dry ? "?validate_only=true" : ""}`, definition());
    put($("task-state"), dry ? say("taskFits") : "");
    if (!dry) {
      if ($("task-start").checked) await post(`${path}/retrain`);
      announce(say("taskIsMade", { task: name }));
      $("task-form").reset();
      showColumns(null);
      $("new-task").open = false;
      location.hash = `#/tasks/${name}`;
    }
  } catch (error) {
    put($("task-state"), "");
    put($("task-fault"), error instanceof TypeError || error.name === "TimeoutError" ? say("away") : error.message);
  }
  for (const id of ["task-save", "task-check"]) $(id).disabled = false;
}

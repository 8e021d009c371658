// The form of a new job: files to upload or paths on the server, columns, tasks, priority.

import { columnsOf, likelyText, offer, sayColumns } from "./columns.js";
import { $, announce, make, put } from "./dom.js";
import { post, upload } from "./door.js";
import { say } from "./language.js";

const stored = new WeakMap(); // a file that was sent, or is being sent: the promise of what the server has
let drawn = "";
let names = null; // columns of the first input, where its header is known
let asking = 0; // the newest look at a header

export function begin(app) {
  for (let level = 0; level <= 9; level++) $("priority").append(make("option", { value: String(level) }, String(level)));
  $("job-form").addEventListener("submit", (event) => {
    event.preventDefault();
    send(app);
  });
  $("new").addEventListener("toggle", () => {
    if ($("new").open) $("file").focus();
  });
  $("file").addEventListener("change", () => look(app));
  $("paths").addEventListener("change", () => look(app));
}

export function draw(app) {
  $("new").hidden = !app.may("submit");
  const ready = app.state.tasks.filter((task) => task.current !== null && !task.fault);
  const wanted = JSON.stringify(ready.map((task) => [task.name, task.scenes]));
  if (wanted === drawn) return;
  drawn = wanted;
  const chosen = new Set(asked());
  const boxes = ready.flatMap((task) => task.scenes.map((scene) => {
    const value = scene === "default" ? task.name : `${task.name}@${scene}`;
    return make("label.choice", {}, make("input", { type: "checkbox", name: "task", value, checked: chosen.has(value) }), value);
  }));
  const none = boxes.length ? [] : [make("p.note", {}, say("noStudents"))];
  $("choices").replaceChildren($("choices").querySelector("legend"), ...boxes, ...none);
}

export function translated() {
  drawn = "";
  if (names) showColumns(names);
}

const asked = () => [...$("choices").querySelectorAll("input:checked")].map((box) => box.value);
const namedPaths = () => $("paths").value.split("\n").map((line) => line.trim()).filter(Boolean);

// ---- the header of the first input

async function look(app) {
  const turn = ++asking;
  const files = [...$("file").files];
  put($("job-fault"), "");
  let known = null;
  try {
    const first = files.length ? (await sendFile(files[0], (share) => showSent(share))).id : namedPaths()[0];
    if (first) known = await columnsOf(first);
  } catch (error) {
    if (turn === asking) refuse(app, error);
  }
  $("sent").hidden = true;
  if (turn === asking) showColumns(known);
}

function showColumns(known) {
  names = known;
  offer("text-column", known, known && likelyText(known));
  offer("id-column", known, "", say("rowNumber"));
  sayColumns($("columns-note"), known);
}

function showSent(share) {
  $("sent").hidden = false;
  $("sent").value = share;
}

// ---- the job

function missing(paths, tasks) {
  if (!$("file").files.length && !paths.length) return [$("file"), say("needFile")];
  if (!tasks.length) return [$("choices").querySelector("input") ?? $("file"), say("needTask")];
  if (!$("text-column").value.trim()) return [$("text-column"), say("needColumn")];
  return null;
}

async function send(app) {
  const paths = namedPaths();
  const tasks = asked();
  put($("job-fault"), "");
  for (const field of $("job-form").querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  const fault = missing(paths, tasks);
  if (fault) {
    put($("job-fault"), fault[1]);
    fault[0].setAttribute("aria-invalid", "true");
    fault[0].focus();
    return;
  }
  $("send").disabled = true;
  try {
    const body = {
      inputs: [...await uploaded([...$("file").files]), ...paths],
      tasks,
      text: $("text-column").value.trim(),
    };
    if ($("priority").value) body.priority = Number($("priority").value); // else the most urgent of the tasks' own
    if ($("id-column").value.trim()) body.id = $("id-column").value.trim();
    // A second press after an answer that got lost makes no second job.
    send.token ??= [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const job = await post("/v1/jobs", body, { headers: { "Idempotency-Key": send.token } });
    send.token = null;
    app.fault(null);
    announce(say("accepted", { id: job.id.slice(-6) }));
    $("job-form").reset();
    showColumns(null);
    $("text-column").value = "text";
    $("id-column").value = "";
    $("new").open = false;
    $("new").querySelector("summary").focus();
  } catch (error) {
    if (error.status) send.token = null; // refused: the next press is another request
    refuse(app, error);
  }
  $("send").disabled = false;
  $("sent").hidden = true;
}

function refuse(app, error) {
  if (error.status) put($("job-fault"), error.message);
  else app.fault(error);
}

async function uploaded(files) {
  const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
  const paths = [];
  let before = 0;
  for (const file of files) {
    paths.push((await sendFile(file, (share) => showSent((before + share * file.size) / total))).path);
    before += file.size;
  }
  return paths;
}

// Once for each file; one that failed may be sent again.
function sendFile(file, progress) {
  if (!stored.has(file)) {
    const sent = upload(file, (loaded) => progress(loaded / (file.size || 1)));
    sent.catch(() => stored.delete(file));
    stored.set(file, sent);
  }
  return stored.get(file);
}

// The form of a new job: files to upload or paths on the server, tasks, priority.

import { $, announce, make, put } from "./dom.js";
import { post, upload } from "./door.js";
import { say } from "./language.js";

const stored = new WeakMap(); // a file that the server has already: its path there
let drawn = "";

export function begin(app) {
  for (let level = 0; level <= 9; level++) $("priority").append(make("option", { value: String(level) }, String(level)));
  $("job-form").addEventListener("submit", (event) => {
    event.preventDefault();
    send(app);
  });
  $("new").addEventListener("toggle", () => {
    if ($("new").open) $("file").focus();
  });
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
}

const asked = () => [...$("choices").querySelectorAll("input:checked")].map((box) => box.value);

function missing(paths, tasks) {
  if (!$("file").files.length && !paths.length) return [$("file"), say("needFile")];
  if (!tasks.length) return [$("choices").querySelector("input") ?? $("file"), say("needTask")];
  if (!$("text-column").value.trim()) return [$("text-column"), say("needColumn")];
  return null;
}

async function send(app) {
  const paths = $("paths").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const tasks = asked();
  put($("job-fault"), "");
  for (const field of $("job-form").querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  const fault = missing(paths, tasks);
  if (fault) {
    fault[0].setAttribute("aria-invalid", "true");
    fault[0].focus();
    return put($("job-fault"), fault[1]);
  }
  $("send").disabled = true;
  $("sent").hidden = false;
  try {
    const body = {
      inputs: [...(await uploaded([...$("file").files])), ...paths],
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
    $("new").open = false;
    $("new").querySelector("summary").focus();
  } catch (error) {
    if (error.status) send.token = null; // refused: the next press is another request
    if (error.status) put($("job-fault"), error.message);
    else app.fault(error);
  }
  $("send").disabled = false;
  $("sent").hidden = true;
}

async function uploaded(files) {
  const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
  const paths = [];
  let before = 0;
  for (const file of files) {
    if (!stored.has(file)) {
      stored.set(file, (await upload(file, (loaded) => { $("sent").value = (before + loaded) / total; })).path);
    }
    before += file.size;
    paths.push(stored.get(file));
  }
  return paths;
}

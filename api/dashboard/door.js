// The REST door: requests with the key, problem documents as errors, downloads, uploads, and the events.

import { button, make } from "./dom.js";

export class KeyNeeded extends Error {}

export class Refused extends Error {
  constructor(problem, status) {
    const more = (problem.errors ?? []).map((each) => `${(each.pointer ?? each.parameter ?? "").replace(/^#\//, "")}: ${each.detail}`);
    super((more.length ? more.join("; ") : problem.detail) || problem.title || `HTTP ${status}`);
    this.status = status;
  }
}

export const key = () => sessionStorage.getItem("pingti-key");

function headers(more = {}) {
  // A header holds bytes: those of the key's UTF-8.
  const known = key() ? { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(key()))}` } : {};
  return { ...known, ...more };
}

async function refusal(answer) {
  if (answer.status === 401) return new KeyNeeded();
  return new Refused(await answer.json().catch(() => ({})), answer.status);
}

export async function ask(path, options = {}) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(20000), ...options, headers: headers(options.headers) });
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

export const get = async (path) => (await ask(path)).json();

export async function post(path, body, options = {}) {
  const content = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...options.headers } };
  return (await ask(path, { method: "POST", ...options, ...content })).json();
}

// What the server stored; null where it only looked.
export async function putJson(path, body) {
  const answer = await ask(path, { method: "PUT", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  return answer.status === 204 ? null : answer.json();
}

// Without a key a plain link streams to the disk. With one, the browser cannot send it along a link.
export function fileLink(text, href, name, label, onError) {
  if (!key()) return make("a", { href, download: name, ariaLabel: label }, text);
  const link = button(text, async () => {
    link.disabled = true;
    try {
      const answer = await ask(href, { signal: null });
      const address = URL.createObjectURL(await answer.blob());
      make("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
    } catch (error) {
      onError(error);
    }
    link.disabled = false;
  }, { className: "link", ariaLabel: label });
  return link;
}

// Send a file; fetch tells nothing of an upload's progress, XMLHttpRequest does.
export function upload(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file);
    request.open("POST", "/v1/files");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onerror = () => reject(new TypeError("network"));
    request.onload = () => {
      if (request.status === 201) resolve(request.response);
      else reject(request.status === 401 ? new KeyNeeded() : new Refused(request.response ?? {}, request.status));
    };
    request.send(form);
  });
}

// The events of the server, read by fetch: an EventSource cannot send the key. ``take(name, data)`` gets each;
// ``lost(error)`` is told when the stream breaks off, which is then begun again, ever more slowly.
export function watch(take, lost) {
  let stop = new AbortController();
  let pause = 0;
  let stopped = false;

  async function once() {
    const answer = await fetch("/v1/events", { headers: headers({ Accept: "text/event-stream" }), cache: "no-store", signal: stop.signal });
    if (!answer.ok) throw await refusal(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let left = "";
    for (;;) {
      // A heartbeat comes every 15 seconds: silence of 40 is a lost connection.
      const silence = setTimeout(() => stop.abort(), 40000);
      const { done, value } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      pause = 0;
      const events = (left + value).split("\n\n");
      left = events.pop();
      for (const event of events) {
        const fields = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s, 2)));
        if (fields.event) take(fields.event, JSON.parse(fields.data));
      }
    }
  }

  (async () => {
    while (!stopped) {
      try {
        await once();
      } catch (error) {
        if (stopped) return;
        lost(error);
        if (error instanceof KeyNeeded) return;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(15000, pause * 2 + 500);
      stop = new AbortController();
    }
  })();
  return () => {
    stopped = true;
    stop.abort();
  };
}

// Columns that are picked from the header of a file: a menu where the header is known, else a field to write in.

import { $, make, put } from "./dom.js";
import { post } from "./door.js";
import { say } from "./language.js";

const TEXTS = ["text", "post", "content", "title", "body", "message", "comment", "sentence", "正文", "文本", "内容", "标题"];

export const columnsOf = async (input) => (await post("/v1/files/columns", { input })).columns;

export const likelyText = (names) => TEXTS.find((name) => names.includes(name)) ?? names[0];

// Let the control of an id offer ``names`` (null: they are not known). A value that is there stays; else it becomes
// ``likely``. ``none`` names the choice of no column, where that may be.
export function offer(id, names, likely, none) {
  const before = $(id);
  const value = names === null ? before.value : names.includes(before.value) ? before.value : likely;
  const held = document.activeElement === before;
  const options = [...(none ? [["", none]] : []), ...(names ?? []).map((name) => [name, name])];
  const control = names === null
    ? make("input", { value, spellcheck: false, placeholder: none ?? "" })
    : make("select", {}, ...options.map(([own, shown]) => make("option", { value: own }, shown)));
  control.id = id;
  control.value = value;
  before.replaceWith(control);
  if (held) control.focus();
}

export function sayColumns(place, names) {
  put(place, names === null ? "" : say("columnsAre", { names: names.join(", ") }));
}

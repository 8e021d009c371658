// Elements. Every value goes in by textContent, a property or an attribute, never as HTML.

export const $ = (id) => document.getElementById(id);

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// make("a.quiet", {href: "/docs"}, "API"): tag and classes, properties (or attributes), children.
export function make(kind, properties = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export function button(text, act, properties = {}) {
  const element = make("button", { type: "button", ...properties }, text);
  element.addEventListener("click", act);
  return element;
}

// A table: head holds texts, or [text, "n"] for a column of figures; a row holds texts or elements, its first
// cell names it. Where the page is narrow, each row of a table of ``many`` columns or long texts is drawn as a card.
export function table(caption, head, rows, many = head.length > 4) {
  const kinds = head.map((cell) => (Array.isArray(cell) ? cell[1] : ""));
  const names = head.map((cell) => (Array.isArray(cell) ? cell[0] : cell));
  const heads = names.map((name, i) => make(name ? "th" : "td", { className: kinds[i], ...(name ? { scope: "col" } : {}) }, name));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell, i) =>
    make(i ? "td" : "th", { className: kinds[i], ...(i ? {} : { scope: "row" }) }, cell))));
  const grid = make("table", {}, make("caption.hidden", {}, caption), make("thead", {}, make("tr", {}, ...heads)),
    make("tbody", {}, ...body));
  const wide = many || rows.some((cells) => cells.some((cell) => cell?.classList?.contains("text")));
  return make("div.scroll", { tabIndex: 0, role: "region", ariaLabel: caption }, wide ? cards(grid) : grid);
}

const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };

// Let a table be drawn as cards: cells carry their column's name, and roles, which other boxes would take away.
export function cards(grid) {
  const names = [...grid.tHead.rows[0].cells].map((cell) => cell.textContent);
  grid.classList.add("cards");
  for (const element of [grid, ...grid.querySelectorAll("thead, tbody, tr, th, td")]) {
    element.setAttribute("role", ROLES[element.tagName] ?? (element.scope === "col" ? "columnheader" : "rowheader"));
  }
  for (const row of grid.tBodies[0].rows) {
    [...row.cells].forEach((cell, i) => { if (cell.tagName === "TD" && cell.colSpan === 1) cell.dataset.head = names[i]; });
  }
  return grid;
}

// Write a list of keyed elements anew with the least change, so that the keyboard's focus stays where it is.
export function arrange(list, wanted) {
  for (const child of [...list.children]) if (!wanted.includes(child)) child.remove();
  wanted.forEach((child, i) => {
    if (list.children[i] !== child) list.insertBefore(child, list.children[i] ?? null);
  });
}

// Say something to a screen reader; the same words twice are said twice.
export function announce(text) {
  const place = $("news");
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
}

// Ask before something that cannot be undone: true where the answer is yes.
export function sure(text, yes, no) {
  const dialog = $("sure");
  const before = document.activeElement;
  put($("sure-text"), text);
  put($("sure-yes"), yes);
  put($("sure-no"), no);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      before?.focus?.();
      resolve(dialog.returnValue === "yes");
    };
  });
}

// The language of the page, and how it says words, numbers, times and dates.

import { WORDS } from "./words.js";

let language = localStorage.getItem("pingti-language")
  ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export const current = () => language;

export function change() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("pingti-language", language);
}

export function say(word, values = {}) {
  return WORDS[language][word].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// A word that the server chose (a state, an event), in the page's language where it is known.
export const sayKnown = (word) => WORDS[language][word] ?? word;

const formats = new Map();

export function number(n, digits = 0) {
  const name = `${language} ${digits}`;
  if (!formats.has(name)) {
    formats.set(name, new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return formats.get(name).format(n);
}

export const figure = (n) => (n === null || n === undefined ? "–" : number(n, 3));

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return say("seconds", { n: number(s) });
  if (s < 3600) return say("minutes", { n: number(Math.floor(s / 60)), s: String(s % 60).padStart(2, "0") });
  if (s < 86400) return say("hours", { n: number(Math.floor(s / 3600)), m: String(Math.floor((s % 3600) / 60)).padStart(2, "0") });
  return say("days", { n: number(Math.floor(s / 86400)) });
}

export const moment = (at) =>
  new Date(at).toLocaleString(language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

// A day without an hour is of no zone: it is the same day everywhere.
export const day = (at) => new Date(at).toLocaleDateString(language,
  { month: "short", day: "numeric", ...(/^\d{4}-\d\d-\d\d$/.test(at) ? { timeZone: "UTC" } : {}) });

// The days from one to another, both as ISO 8601.
export function daysBetween(first, last) {
  const days = [];
  for (let at = Date.parse(first); at <= Date.parse(last); at += 86_400_000) days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

export const bytes = (n) => {
  const [unit, size] = n >= 1 << 30 ? ["GB", n / 2 ** 30] : [`MB`, n / 2 ** 20];
  return `${number(size, size < 10 ? 1 : 0)} ${unit}`;
};

// Static text of the page: data-word is an element's text, data-label its name for a screen reader.
export function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) {
    if (element.dataset.word) element.textContent = say(element.dataset.word);
  }
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = say(element.dataset.label);
}

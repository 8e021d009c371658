// Which tasks drift away from their teacher now.

import { make } from "./dom.js";
import { say } from "./language.js";

const ENOUGH = 50; // rows of a day that can raise an alarm

// By task, the newest alarm that still holds: it is of the version in use, and no later day with enough rows went
// by without one.
export function drifting({ alarms, agreement, tasks }) {
  const open = new Map();
  for (const task of tasks ?? []) {
    const own = (alarms ?? []).filter((alarm) => alarm.task === task.name && alarm.version === task.current);
    if (!own.length) continue;
    const later = (agreement?.[task.name] ?? []).some((entry) => entry.version === task.current && entry.rows >= ENOUGH && entry.day > own[0].day);
    if (!later) open.set(task.name, own[0]);
  }
  return open;
}

export const driftBadge = (alarm) => make("a.drift", { href: "#/nights", title: say("driftSince", { day: alarm.day }) }, say("driftBadge"));

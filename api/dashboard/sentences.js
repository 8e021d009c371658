// Sentences that the server writes, in the page's language: those that are known here; others stay as they are.

import { say } from "./language.js";

const KNOWN = [
  [/^the teacher's margin of ([\d.]+) is below ([\d.]+)$/, "whyMargin"],
  [/^the gate is reached$/, "stopGate"],
  [/^the limit of (\d+) rounds? is reached$/, "stopRounds"],
  [/^(\d+) rounds in a row brought nothing$/, "stopNoProgress"],
  [/^the teacher's budget is spent$/, "stopBudget"],
  [/^the pool is used up$/, "stopPool"],
  [/^No worker consumes the classify queue\.$/, "noClassifyWorker"],
  [/^The broker does not answer\.$/, "noBroker"],
  [/^waiting for another run of this task$/, "waitingForRun"],
  [/^(precision|recall) ([\d.]+) is below ([\d.]+)$/, "isBelow"],
];

export function sayText(text) {
  for (const [pattern, word] of KNOWN) {
    const match = pattern.exec(text);
    if (match) return say(word, { a: word === "isBelow" ? say(match[1]) : match[1], b: match[2], c: match[3] });
  }
  return text;
}

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
  [/^a worker that has the teacher, .+: none is running; pingti worker .+$/, "noTeacher"],
  [/^a worker that has the teacher, .+?: (.+); pingti worker .+$/, "teachersLearn"],
  [/^waiting for another run of this task$/, "waitingForRun"],
  [/^passed its gate$/, "passedItsGate"],
  [/^passed its gate in the run (\S+)$/, "passedInRun"],
  [/^over REST$/, "overRest"],
  [/^(?:by hand, in the dashboard|在控制台手动操作)$/, "byDashboard"],
  [/^(precision|recall) ([\d.]+) is below ([\d.]+)$/, "isBelow"],
  [/^F1 is ([\d.]+) below that of the promoted version (\d+) \(95 % interval (-?[\d.]+) to (-?[\d.]+)\)$/, "f1Below"],
  [/^(.+ is below .+|F1 is .+) and (.+)$/, "bothLack"],
];

const PARTS = { isBelow: 1, bothLack: 2 }; // how many of the values are sentences or words themselves

export function sayText(text) {
  for (const [pattern, word] of KNOWN) {
    const match = pattern.exec(text);
    if (!match) continue;
    const own = match.slice(1).map((value, i) => (i < (PARTS[word] ?? 0) ? sayPart(value) : value));
    return say(word, { a: own[0], b: own[1], c: own[2], d: own[3] });
  }
  return text;
}

const sayPart = (value) => (["precision", "recall"].includes(value) ? say(value).toLowerCase() : sayText(value));

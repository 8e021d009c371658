"""What the command line shows: progress, tables and JSON. Progress goes to stderr, results to stdout."""

import json
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pingti.errors import GateError, PingtiError

if TYPE_CHECKING:
    from pingti.workspace.definition import GateSection
    from replacement.results import Round

_PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal

_PLAIN_WIDTH = 160  # where there is no terminal whose width could be known
_MOST_FAULTS = 50  # of an error, listed
_LEAST_ROOM = 20  # cells of a line that words are worth being broken for
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


class Screen:
    """One place that everything a command says goes through."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._shown: dict[str, tuple[float, int, float]] = {}  # when first shown and of how many; when last

    def say(self, text: str = "") -> None:
        """A line for a person; with ``--json`` it goes to stderr, so that stdout holds JSON alone."""
        _print(self.err if self.as_json else self.out, text)

    def note(self, text: str) -> None:
        """A line about how the work goes."""
        _print(self.err, text)

    def result(self, value: Any) -> None:
        """What ``--json`` prints."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None
    ) -> None:
        """Show rows below their head; figures stand to the right. Nothing where there is no row."""
        if self.as_json or not rows:
            return
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        numeric = [all(_is_figure(row[index]) for row in rows) for index in range(len(head))]
        # A job's id is there to be copied.
        whole = max(len(str(row[0])) for row in rows) * 2 <= self.out.width
        for index, (name, right) in enumerate(zip(head, numeric, strict=True)):
            justify: Literal["left", "right"] = "right" if right else "left"
            table.add_column(name, justify=justify, overflow="fold", no_wrap=whole and index == 0)
        for row in rows:
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        self.out.print(table)

    def finding(self, state: str, name: str, says: str, next_step: str) -> None:
        """A line of a check: ``ok``, ``warn`` or ``fail``, what was looked at, and what to do."""
        if self.as_json:
            return
        line = Text.assemble((f"{state:<5}", _COLOURS[state]), (f"{name:<14}", "bold"), says)
        self.out.print(line)
        if next_step:
            self.out.print(Text(" " * 19 + f"→ {next_step}", style="dim"))

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Within it ``advance`` draws bars on a terminal, and prints a line now and then elsewhere."""
        if not self.err.is_terminal:
            yield
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.fields[counted]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self.err, transient=True) as bar:
            self._bar, self._tasks = bar, {}
            try:
                yield
            finally:
                self._bar = None

    def advance(self, what: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` units of the work ``what``; None: nobody knows the total; 0: a note."""
        if total == 0:
            self.note(what)
            return
        now = time.monotonic()
        ended = total is not None and done >= total
        counted = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        if self._bar is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total, rate="", counted="")
            speed = self._bar.tasks[self._bar.task_ids.index(self._tasks[what])].speed
            rate = _rate(speed) if speed else ""
            self._bar.update(self._tasks[what], completed=done, total=total, rate=rate, counted=counted)
            if ended:
                self._bar.remove_task(self._tasks.pop(what))
        elif not self.err.is_terminal:
            began, first, last = self._shown.setdefault(what, (now, done, now))
            if ended:
                del self._shown[what]
            elif now - last >= _PLAIN_SECONDS:
                self._shown[what] = (began, first, now)
                pace = (done - first) / (now - began)
                left = f", {_clock((total - done) / pace)} left" if total is not None and pace else ""
                self.note(f"  {what}: {counted}, {_rate(pace)}{left}")


def error_text(error: PingtiError) -> str:
    """What is shown of an error: its sentence; where several things are wrong, a line of each of the first.

    Args:
        error: its faults are listed, if there are more than one. Those of a refusal stand below its headline.
    """
    faults = error.faults
    if isinstance(error, GateError):
        return "\n".join([str(error), *wrapped_points(fault.detail for fault in faults)])
    if not faults:
        return str(error)
    from pingti.validation import dotted  # pydantic only where something is wrong

    if len(faults) == 1:
        pointer = faults[0].pointer or ""
        # REST writes the pointer; a person at the command line reads a place as definitions have it.
        return (
            re.sub(rf"^#{re.escape(pointer)}: ", f"{dotted(pointer)}: ", str(error))
            if pointer
            else str(error)
        )

    files = {fault.file for fault in faults}
    file = files.pop() if len(files) == 1 else None
    head = f"{len(faults)} faults"
    lines = [f"{file}: {head}" if file else head]
    for fault in faults[:_MOST_FAULTS]:
        place = (None if file else fault.file, dotted(fault.pointer or ""))
        lines.append("  " + ": ".join([*filter(None, place), fault.detail]))
    if len(faults) > _MOST_FAULTS:
        lines.append(f"  and {len(faults) - _MOST_FAULTS} more, which show when these are mended")
    return "\n".join(lines)


def wrapped_points(points: Iterable[str]) -> list[str]:
    """Points below a headline, as lines that fit the terminal.

    Args:
        points: a part of a sentence each.
    """
    width = _console(stderr=True).width
    return [
        line
        for point in points
        for line in textwrap.wrap(
            point, width, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
        )
    ]


def figure(value: float | None) -> str:
    """A figure from 0 to 1; a dash where no row could tell."""
    return "–" if value is None else f"{value:.3f}"


def round_line(round: "Round", classes: int, gate: "GateSection") -> str:
    """A round in one line: what the holdout says and the validation rows, and which are short of the gate.

    Both decide: the rounds end when both reach the gate, and the validation rows choose among rounds.

    Args:
        round: what was measured.
        classes: how many the task has.
        gate: the task's.
    """
    from replacement.evaluation.metrics import stored

    names = ("precision", "recall", "F1")
    holdout, validation = stored(round.holdout, classes), stored(round.validation, classes)
    reached = "  ".join(f"{name} {figure(holdout[name.lower()])}" for name in names)
    decides = ", ".join(figure(validation[name.lower()]) for name in names)
    added = ", ".join(f"{count:,} {kind}" for kind, count in round.added.items() if count)
    left_out = ""
    if round.boundary:
        left_out = f" of {round.rows + round.boundary:,}, {round.boundary:,} boundary rows left out"
    parts = {"holdout": round.holdout, "validation rows": round.validation}
    short = [name for name, measured in parts.items() if not measured.passes(gate)]
    verdict = f"gate: {' and '.join(short)} short" if short else "gate reached on both"
    return (
        f"  round {round.round}: {reached}  (validation rows: {decides})  {verdict}  | "
        f"teacher rows asked {round.asked:,}, trained on {round.rows:,}{left_out}"
        f"{f' (new this round: {added})' if added else ''}"
    )


def _rate(pace: float) -> str:
    return f"{pace:,.0f}/s" if pace >= 10 else f"{pace:.1f}/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _console(*, stderr: bool) -> Console:
    # What is printed are texts: [doge] in one is no markup, and :heart: stays as it is.
    console = Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, _PLAIN_WIDTH)
    return console


def _print(console: Console, text: str) -> None:
    """Print lines; on a terminal they are broken between words, where it would break them anywhere.

    What follows is indented as the line is. A path or a text without spaces stays whole, to be copied; and
    what goes into a file or a pipe stays as it is.
    """
    if console.is_terminal:
        text = "\n".join(chain.from_iterable(_broken(console, line) for line in text.split("\n")))
    console.print(text)


def _broken(console: Console, line: str) -> list[str]:
    """A line as several of the terminal's width; a word that is longer has one of its own."""
    indent = " " * (len(line) - len(line.lstrip(" ")))
    room = console.width - len(indent)
    if cell_len(line) <= console.width or room < _LEAST_ROOM:
        return [line]
    lines, filled = [""], 0
    for word in re.findall(" *[^ ]+", line.strip(" ")):
        width = cell_len(word)
        if filled and filled + width > room:
            word = word.lstrip(" ")
            lines.append("")
            filled, width = 0, cell_len(word)
        lines[-1] += word
        filled += width
    return [f"{indent}{part}" for part in lines]


def _is_figure(cell: object) -> bool:
    text = str(cell).replace(",", "").removesuffix("%").removesuffix(" x").removesuffix("/s")
    try:
        float(text)
    except ValueError:
        return cell is None or text == ""
    return True

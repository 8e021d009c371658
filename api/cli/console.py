"""What the command line shows: progress, tables and JSON. Progress goes to stderr, results to stdout."""

import json
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from api.cli.heartbeat import Heartbeat
from pingti.errors import GateError, PingtiError

_PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal

_PLAIN_WIDTH = 160  # where there is no terminal whose width could be known
_MOST_FAULTS = 50  # of an error, listed
_LEAST_ROOM = 20  # cells of a line that words are worth being broken for
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class _Work:
    """What goes on."""

    what: str
    counted: str | None
    """How much of it is done."""
    began: float
    """Monotonic seconds."""


class Screen:
    """One place that everything a command says goes through."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._shown: dict[str, tuple[float, int, float]] = {}  # when first shown and of how many; when last
        self._heartbeat: Heartbeat | None = None
        self._work = _Work(what="getting ready", counted=None, began=time.monotonic())  # what goes on now

    def say(self, text: str = "") -> None:
        """A line for a person; with ``--json`` it goes to stderr, so that stdout holds JSON alone."""
        _print(self.err if self.as_json else self.out, text)

    def note(self, text: str) -> None:
        """A line about how the work goes."""
        _print(self.err, text)
        if self._heartbeat is not None:
            self._heartbeat.rest()

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
        """Within it ``advance`` draws bars on a terminal, and prints a line now and then elsewhere.

        Work that tells nothing for a while is shown, too: by its time on a terminal, by a line elsewhere.
        """
        self._work = _Work("getting ready", None, time.monotonic())
        if not self.err.is_terminal:
            with Heartbeat(self._say_work) as self._heartbeat:
                try:
                    yield
                finally:
                    self._heartbeat = None
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.fields[counted]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self.err, transient=True) as bar:
            self._bar, self._tasks = bar, {}
            self._between = bar.add_task(self._work.what, total=None, rate="", counted="")
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
        counted = f"{done:,}" if total is None else "" if total == 1 else f"{done:,} of {total:,}"
        if ended:
            self._work = _Work(f"after {what}", None, now)
        elif self._work.what != what:
            self._work = _Work(what, counted, now)
        else:
            self._work = _Work(what, counted, self._work.began)
        if self._bar is not None:
            self._draw(self._bar, what, done, total, counted)
        elif not self.err.is_terminal:
            began, first, last = self._shown.setdefault(what, (now, done, now))
            if ended:
                del self._shown[what]
            elif now - last >= _PLAIN_SECONDS:
                self._shown[what] = (began, first, now)
                pace = (done - first) / (now - began)
                left = f", {_clock((total - done) / pace)} left" if total is not None and pace else ""
                self.note(f"  {what}: {counted}, {_rate(pace)}{left}")

    def _draw(self, bar: Progress, what: str, done: int, total: int | None, counted: str) -> None:
        """Show work as a bar; where none is shown otherwise, one that says what went before."""
        if what not in self._tasks:
            # A bar of one step would stand still until its end; without a total it moves.
            self._tasks[what] = bar.add_task(what, total=None if total == 1 else total, rate="", counted="")
        speed = bar.tasks[bar.task_ids.index(self._tasks[what])].speed
        rate = _rate(speed) if speed and total != 1 else ""
        bar.update(self._tasks[what], completed=done, rate=rate, counted=counted)
        if total is not None and done >= total:
            bar.remove_task(self._tasks.pop(what))
        if self._tasks:
            bar.update(self._between, visible=False)
        else:
            bar.reset(self._between, total=None, description=self._work.what, visible=True)

    def _say_work(self) -> None:
        """What goes on, and for how long."""
        work = self._work
        counted = f"{work.counted}, " if work.counted else ""
        _print(self.err, f"  {work.what}: {counted}at work for {_clock(time.monotonic() - work.began)}")


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

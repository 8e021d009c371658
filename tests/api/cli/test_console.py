"""What the command line shows on a terminal, and what it writes into a file."""

import io
import time

import pytest
from rich.cells import cell_len
from rich.console import ConsoleDimensions

from api.cli import heartbeat
from api.cli.console import Screen
from replacement.progress import say

SENTENCE = "  the student falls short of its gate: precision is 0.700, and needed is 0.800 or more"
PATH = "/srv/" + "a-long-folder-without-a-space/" * 3


def shown(monkeypatch: pytest.MonkeyPatch, text: str, *, terminal: bool) -> list[str]:
    screen = Screen()
    file = io.StringIO()
    screen.err.file, screen.err.size = file, ConsoleDimensions(40, 25)
    monkeypatch.setattr(type(screen.err), "is_terminal", property(lambda _: terminal))
    screen.note(text)
    return file.getvalue().splitlines()


def test_lines_are_broken_between_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, f"{SENTENCE}\nshort", terminal=True)
    assert " ".join(lines).split() == [*SENTENCE.split(), "short"]
    assert len(lines) > 3
    assert all(len(line) <= 40 for line in lines)
    assert all(line.startswith("  ") for line in lines[:-1])


def test_a_path_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, f"report: {PATH} is its page", terminal=True)
    assert PATH in [word for line in lines for word in line.split()]


def test_chinese_counts_two_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, " ".join(["任务未达到门槛"] * 5), terminal=True)
    assert all(cell_len(line) <= 40 for line in lines)
    assert len(lines) == 3


def test_what_goes_into_a_file_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, SENTENCE, terminal=False) == [SENTENCE]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_has_no_length_is_shown_at_once(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    screen = Screen()
    file = io.StringIO()
    screen.err.file = file
    monkeypatch.setattr(type(screen.err), "is_terminal", property(lambda _: terminal))
    with screen.progress():
        say(screen.advance, "the holdout has only 27 rows")
        shown_within = file.getvalue()
    assert "the holdout has only 27 rows" in shown_within


@pytest.mark.parametrize(("done", "total", "says"), [
    (None, None, "  getting ready: at work for 0:00:"),
    (0, 1, "  reading the corpus: at work for 0:00:"),
    (10, 100, "  reading the corpus: 10 of 100, at work for 0:00:"),
    (100, 100, "  after reading the corpus: at work for 0:00:"),
])  # fmt: skip
def test_work_that_tells_nothing_shows_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, done: int | None, total: int | None, says: str
) -> None:
    monkeypatch.setattr(heartbeat, "SILENCE_SECONDS", 0.01)
    screen, file = Screen(), io.StringIO()
    screen.err.file = file
    deadline = time.monotonic() + 60
    with screen.progress():
        if done is not None:
            screen.advance("reading the corpus", done, total)
        while says not in file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert says in file.getvalue()
    ended = file.getvalue()
    time.sleep(0.05)
    assert file.getvalue() == ended


def test_a_terminal_shows_that_work_goes_on_where_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen, file = Screen(), io.StringIO()
    screen.err.file, screen.err.size, screen.err.is_interactive = file, ConsoleDimensions(80, 25), True
    monkeypatch.setattr(type(screen.err), "is_terminal", property(lambda _: True))
    with screen.progress():
        screen.advance("loading", 0, 1)
        screen.advance("loading", 1, 1)
    shown = file.getvalue()
    assert "getting ready" in shown
    assert "after loading" in shown

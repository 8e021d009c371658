"""What the command line shows on a terminal, and what it writes into a file."""

import io

import pytest
from rich.cells import cell_len
from rich.console import ConsoleDimensions

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

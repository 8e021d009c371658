"""Questions on a terminal, each with a likely answer; where nobody is asked, the likely answer is taken."""

from collections.abc import Callable
from typing import TypeVar

import typer

from api.cli.console import Screen
from pingti.errors import InputError, PingtiError

NONE = "-"
"""What a person writes for a column that there is none of."""

_Answer = TypeVar("_Answer")


class Questions:
    """Asks a person, or nobody."""

    def __init__(self, screen: Screen, *, asked: bool) -> None:
        """``asked``: whether somebody is there to be asked."""
        self.screen, self.asked = screen, asked

    def answer(
        self,
        option: str,
        question: str,
        read: Callable[[str], _Answer],
        *,
        given: str | None = None,
        likely: str | None = None,
    ) -> _Answer:
        """What an option says, else what a person answers, else what is likely.

        Args:
            option: its name, for errors.
            question: for the person.
            read: makes the answer of what was written; its errors are told, and the question comes again.
            given: what the option says.
            likely: taken where a person writes nothing.

        Raises:
            InputError: the option's value cannot be used; or nobody is there, and nothing is likely.
        """
        if given is not None or not self.asked:
            written = likely if given is None else given
            if written is None:
                raise InputError(f"{option} is missing: {question[0].lower()}{question[1:]}")
            try:
                return read(written)
            except PingtiError as error:
                raise InputError(f"{option}: {error}") from error
        while True:
            try:
                written = typer.prompt(question, default=likely, err=True, show_default=bool(likely))
            except typer.Abort:  # Ctrl-C or Ctrl-D
                raise KeyboardInterrupt from None
            try:
                return read(written.strip())
            except PingtiError as error:
                self.screen.note(f"  {error}")

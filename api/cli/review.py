"""``pingti corpus`` and ``pingti review``: what a task is made of, and what people say about it."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.console import Screen
from api.cli.tasks import WORKSPACE, Home, Json, TaskName
from pingti.errors import InputError

if TYPE_CHECKING:
    from replacement.profiling.profile import Share, Stats

corpus_app = typer.Typer(help="The texts of a task.", no_args_is_help=True)
review_app = typer.Typer(help="Boundary rows, labelled by people.", no_args_is_help=True)


class Format(StrEnum):
    """The tool that is to read the rows; its values are ``review_queue.Format``'s."""

    LABEL_STUDIO = "label-studio"
    ARGILLA = "argilla"
    JSONL = "jsonl"


_DAYS = 14  # of the newest days shown
_UNITS = 10
_BAD = 20


@corpus_app.command("stats")
def corpus_stats(task: TaskName, home: Home = WORKSPACE, as_json: Json = False) -> None:
    """Count a task's corpus, and propose cleaning rules for its definition."""
    from pingti.workspace.registry import Workspace
    from replacement.profiling.profile import collect

    screen = Screen(as_json=as_json)
    entry = Workspace(home).task(task)
    with screen.progress():
        stats = collect(entry, progress=screen.advance)
    _show_stats(stats, screen)
    screen.result(asdict(stats))


def _show_stats(stats: "Stats", screen: Screen) -> None:
    screen.say(f"files: {stats.files}; rows: {stats.rows:,}; bad rows: {stats.bad:,}")
    for sentence in stats.bad_examples:
        screen.say(f"  {sentence}")
    if not stats.rows:
        return
    screen.say(
        f"duplicates: {_of(stats.exact_duplicates, stats.rows)} exact, "
        f"{_of(stats.normalised_duplicates, stats.rows)} but for case, white space and forms of characters"
    )
    screen.table(
        ["length in", *stats.characters],
        [["characters", *stats.characters.values()], ["tokens", *stats.tokens.values()]],
    )
    if stats.days:
        ordered = sorted(stats.days.values())
        screen.say(
            f"{len(ordered)} days, {min(stats.days)} to {max(stats.days)}; texts a day: "
            f"least {ordered[0]:,}, median {ordered[len(ordered) // 2]:,}, most {ordered[-1]:,}"
        )
        newest = list(stats.days.items())[-_DAYS:]
        screen.table(["day", "texts"], [[day, f"{rows:,}"] for day, rows in newest], title="the newest days")
    screen.table(
        ["texts", "rows", "share", "examples"],
        [
            *(_row(f"a rule of {name} hits", share) for name, share in stats.rules.items() if share.rows),
            *(
                _row(f"only {name}" if name != "empty" else name, share)
                for name, share in stats.kinds.items()
            ),
            _row("with a repeated pattern", stats.repeats),
            _row("with an emoticon", stats.emoticons),
        ],
    )
    if stats.units:
        units = list(stats.units.items())[:_UNITS]
        screen.table(["repeated", "rows"], [[repr(unit), f"{rows:,}"] for unit, rows in units])
    if stats.emoticon_units:
        emoticons = list(stats.emoticon_units.items())[:_UNITS]
        screen.table(["emoticon", "rows"], [[_one_line(unit), f"{rows:,}"] for unit, rows in emoticons])
    if stats.shapes:
        screen.table(
            ["frequent shape (0: digits)", "rows", "share", "examples"],
            [_row(_one_line(shape), share) for shape, share in stats.shapes.items()],
        )
    if stats.proposals:
        screen.say("\nproposed, to take the place of [rules] in the definition:\n")
        screen.say(stats.toml)
    else:
        screen.say("no rule to propose")


def _row(name: str, share: "Share") -> list[str]:
    return [name, f"{share.rows:,}", f"{share.share:.2%}", " | ".join(map(_one_line, share.examples))]


def _of(rows: int, total: int) -> str:
    return f"{rows:,} ({rows / total:.2%})"


def _one_line(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


@review_app.command("export")
def review_export(
    task: TaskName,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    form: Annotated[
        Format, typer.Option("--format", "-f", help="The tool that is to read it.")
    ] = Format.JSONL,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Write the rows on which the teacher is unsure for a labelling tool."""
    from pingti.annotation import labels, review_queue
    from pingti.workspace.registry import Workspace

    entry = Workspace(home).task(task)
    rows = review_queue.export(entry, review_queue.Format(form), out, labelled=list(labels.read(entry)))
    screen = Screen(as_json=as_json)
    then = f"next is pingti review import {task} with the labels" if rows else "none waits for a label"
    screen.say(f"{out}: {rows:,} rows for a person; {then}")
    needed = ""
    if form is Format.LABEL_STUDIO:
        needed = review_queue.label_studio_config(entry.definition.classes)
        screen.say(f"the project's labelling interface:\n  {needed}")
    elif form is Format.ARGILLA:
        needed = review_queue.argilla_settings(entry.definition.classes)
        screen.say(f"the dataset's settings, then dataset.records.from_json({str(out)!r}):\n  {needed}")
    screen.result({"out": str(out), "format": form.value, "rows": rows, "settings": needed})


@review_app.command("import")
def review_import(
    task: TaskName,
    file: Annotated[Path, typer.Argument(help="What Label Studio or Argilla exported, or JSON lines.")],
    max_bad: Annotated[
        str, typer.Option(help='More bad records than this count ("10") or share ("5%") are an error.')
    ] = "0",
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Bring people's labels back; they outrank the teacher from the next run on.

    Ends with exit code 2 where more records are bad than --max-bad allows; the labels of the others stay.
    """
    from pingti.annotation import labels
    from pingti.inference.bad_rows import parse_max_bad, too_many_bad
    from pingti.workspace.registry import Workspace

    allowed = parse_max_bad(max_bad)
    entry = Workspace(home).task(task)
    imported = labels.add(entry, file)
    screen = Screen(as_json=as_json)
    for sentence in imported.bad[:_BAD]:
        screen.note(sentence)
    if len(imported.bad) > _BAD:
        screen.note(f"and {len(imported.bad) - _BAD:,} more bad records")
    screen.say(
        f"{imported.records:,} records: {imported.added:,} labels added, {imported.unchanged:,} known "
        f"already, {imported.unanswered:,} without an answer, {len(imported.bad):,} bad"
    )
    if imported.disagreements:
        screen.say(
            f"{imported.disagreements:,} texts have different labels in the file; the latest was taken"
        )
    screen.result(asdict(imported))
    if too_many_bad(imported.records, len(imported.bad), allowed):
        raise InputError(
            f"{file}: bad records: {len(imported.bad):,} of {imported.records:,}; all other labels are kept. "
            "Mend the bad ones and import the file again, or allow them by --max-bad"
        )

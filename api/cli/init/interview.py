"""What a first definition needs to know, asked one after the other."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.cli.init.columns import likely_id, likely_text, likely_time
from api.cli.init.draft import Draft, Model
from api.cli.init.questions import NONE, Questions
from pingti.checks.label_names import asking_for
from pingti.corpus.columns import Columns, known_encoding
from pingti.corpus.reader import column_names, expand
from pingti.errors import ConflictError, InputError
from pingti.model_files import file_problems, labels_of, read_config_json
from pingti.workspace import definition

GATE = "0.8"
"""Of precision and recall each, where nobody says otherwise: a first student often reaches it."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the options say; None: nothing."""

    name: str | None
    model: str | None
    file: str | None
    text: str | None
    time: str | None
    id: str | None
    yes: str | None
    precision: str | None
    recall: str | None
    encoding: str | None


def draft_of(given: Given, questions: Questions) -> Draft:
    """Ask for all that a definition says.

    Args:
        given: what need not be asked.
        questions: asks it.

    Raises:
        InputError: an option that cannot be used.
    """
    model = questions.answer(
        "--model", "Folder of the model that labels your texts today", _model, given=given.model
    )
    encoding = _encoding(given.encoding)
    path, names = questions.answer(
        "--file",
        "File of past texts (CSV, TSV, Parquet or JSON lines)",
        lambda written: _texts(written, encoding),
        given=given.file,
    )
    files = given.file or path
    if questions.asked:
        questions.screen.note(f"  its columns: {', '.join(names)}")
    text = questions.answer(
        "--text",
        "Column of the text",
        lambda written: _column(written, names),
        given=given.text,
        likely=likely_text(path, names, encoding),
    )
    time = questions.answer(
        "--time",
        f'Column of the time, by which the newest texts are held out ("{NONE}": none)',
        lambda written: _optional_column(written, names),
        given=given.time,
        likely=likely_time(path, names, text, encoding) or NONE,
    )
    identity = questions.answer(
        "--id",
        f'Column of the id ("{NONE}": none)',
        lambda written: _optional_column(written, names),
        given=given.id,
        likely=likely_id(names, (text, time)) or NONE,
    )
    if not questions.asked:
        questions.screen.note(_taken(names, text, time, identity))
    return Draft(
        model=model,
        files=files,
        text=text,
        time=time,
        id=identity,
        encoding=encoding,
        yes=_yes(model, given, questions),
        precision=questions.answer(
            "--precision",
            "Precision that the student must reach: share of its yes that the teacher says, too",
            _share,
            given=given.precision,
            likely=GATE,
        ),
        recall=questions.answer(
            "--recall",
            "Recall that it must reach: share of the teacher's yes that it finds",
            _share,
            given=given.recall,
            likely=GATE,
        ),
    )


def name_of(given: Given, draft: Draft, questions: Questions, taken: Collection[str]) -> str:
    """Ask for the task's name.

    Args:
        given: what need not be asked.
        draft: the definition; its label or its model's folder makes a likely name.
        questions: asks it.
        taken: names that tasks have.

    Raises:
        InputError: the option's name cannot be used.
    """

    def read(written: str) -> str:
        definition.check_name(written)
        if written in taken:
            raise ConflictError(f"task {written!r} is there already; name another")
        return written

    after_label = definition.name_after(draft.yes[0]) if draft.yes else None
    likely = after_label or definition.name_after(draft.model.folder.resolve().name) or "task"
    return questions.answer("NAME", "Name of the task", read, given=given.name, likely=likely)


def _model(written: str) -> Model:
    folder = Path(written).expanduser()
    if not folder.is_dir():
        raise InputError(
            f"{written!r} is no folder here (looked from {Path.cwd()}); name the one that save_pretrained "
            "wrote"
        )
    for problem in file_problems(folder):
        raise InputError(f"{folder}: {problem}")
    try:
        labels, independent = labels_of(read_config_json(folder))
    except ValueError as error:
        raise InputError(f"{folder}: {error}") from error
    return Model(folder=folder, labels=labels, independent=independent)


def _encoding(option: str | None) -> str | None:
    try:
        return None if option is None else known_encoding(option)
    except ValueError as error:
        raise InputError(f"--encoding: {error}") from error


def _texts(written: str, encoding: str | None) -> tuple[str, list[str]]:
    """The first of the files that are named, and its columns."""
    path = expand(str(Path(written).expanduser()) if "://" not in written else written, Path())[0]
    return path, column_names(path, Columns(encoding=encoding))


def _column(written: str, names: Sequence[str]) -> str:
    if written not in names:
        raise InputError(f"no column {written!r}; there are {', '.join(map(repr, names))}")
    return written


def _optional_column(written: str, names: Sequence[str]) -> str | None:
    return None if written == NONE else _column(written, names)


def _share(written: str) -> float:
    try:
        share = float(written)
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 1.0:
        likely = f"; write {share / 100:g} for {share:g} %" if 10.0 <= share <= 100.0 else ""
        raise InputError(f"{written!r}: needed is a number above 0, at most 1{likely}")
    return share


def _yes(model: Model, given: Given, questions: Questions) -> tuple[str, ...]:
    """The labels that stand for a yes; none where all of them are classes."""
    single = len(model.labels) == 1

    def read(written: str) -> tuple[str, ...]:
        named = (written,) if written in model.labels else tuple(part.strip() for part in written.split(","))
        labels = tuple(dict.fromkeys(filter(None, named)))
        if labels or model.independent:
            asking_for(model.labels, model.independent, labels)
        return labels

    question = f"Which of its labels is a yes? ({', '.join(model.labels)}; "
    question += "one of them)" if model.independent else "several with commas; none: all are classes)"
    likely = model.labels[0] if single else (None if model.independent else "")
    return questions.answer("--yes", question, read, given=given.yes, likely=likely)


def _taken(names: Sequence[str], text: str, time: str | None, identity: str | None) -> str:
    return (
        f"columns taken: text {text!r}, time {_said(time)}, id {_said(identity)}, of {', '.join(names)}; "
        "--text, --time and --id say otherwise"
    )


def _said(column: str | None) -> str:
    return "none" if column is None else repr(column)

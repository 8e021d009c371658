"""What people answered in a labelling tool, out of the files that such tools export.

Read are a JSON array or JSON lines of

- Label Studio's tasks (its JSON export): ``data.text`` and ``annotations[].result[].value.choices``;
- Argilla's records, nested (``Dataset.records.to_json``: ``fields.text``, ``responses.label[].value``) or
  flat (``Dataset.records.to_datasets``: ``text``, ``label.responses``);
- plain objects with ``label``, and ``text`` or ``id``; ``who`` and ``when`` may be there. Of this kind are
  Label Studio's JSON-MIN (``annotator``, ``updated_at``), Prodigy's (``answer``, ``_timestamp``; of its
  choices ``accept`` in the label's place) and doccano's (a list).

An answer that is not given (no annotation, a skipped task, a draft, an empty label, a label that was
rejected or ignored) is no answer. An answer to a question of another name is one only in a record that says
nothing of a question named ``label``.
"""

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pingti.annotation.review_queue import QUESTION
from pingti.corpus.values import microseconds, spelled, string
from pingti.errors import InputError

_TABLES = (".csv", ".tsv", ".parquet", ".xlsx")
_MINIMAL = {"annotator", "annotation_id"}  # keys of Label Studio's JSON-MIN, where an answer may be missing
_CHOICES = "accept"  # of Prodigy's view of choices
_DECLINED = ("reject", "ignore")
_TIMES = ("when", "updated_at", "created_at", "_timestamp")  # of a plain record, the first that is there
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Unusable(Exception):
    """A record that cannot be used: the field, what is wrong, what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One person's answer for one text."""

    field: str
    """Where in the record the label stands."""
    text: str | None
    id: str | None
    """One of the two is there at least."""
    label: str
    who: str | None
    """The person, as the tool names them."""
    when: str | None
    """ISO 8601, UTC, with microseconds; None where the tool does not say."""


def declined(answer: Any) -> bool:
    """Whether Prodigy's ``answer`` says that a label was looked at and not taken.

    Args:
        answer: of a record; None where it has none.
    """
    return isinstance(answer, str) and answer.strip().lower() in _DECLINED


def records(path: Path) -> Iterator[tuple[str, Any]]:
    """The records of a JSON array or of JSON lines, each with its place in the file.

    Raises:
        InputError: the file cannot be read, is empty, or a table by its name.
    """
    if path.name.lower().endswith(_TABLES):
        raise InputError.in_file(path, "labels are imported from JSON or JSON lines, not from a table")
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError.in_file(path, f"not readable: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError.in_file(path, f"not UTF-8 (byte {error.start})") from error
    if not content.strip():
        raise InputError.in_file(path, "the file is empty")
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError) as error:
        if content.lstrip().startswith("["):
            why = "nested too deeply" if isinstance(error, RecursionError) else error
            raise InputError.in_file(path, f"not readable as JSON: {why}") from error
    else:
        for number, record in enumerate(whole if isinstance(whole, list) else [whole], 1):
            yield f"record {number}", record
        return
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError):
                yield f"line {number}", None


def answers(record: Any, classes: Sequence[str]) -> list[Answer]:
    """The answers in a record of any of the formats.

    Raises:
        Unusable: it is of none of them, a field of it cannot be used, or a label is no class.
    """
    if not isinstance(record, dict):
        raise Unusable("not a JSON object")
    if "annotations" in record:
        given = list(_label_studio(record))
    elif "responses" in record:
        given = list(_argilla(record))
    elif any(key.endswith(".responses") for key in record):
        given = list(_argilla_flat(record))
    elif QUESTION in record or isinstance(record.get(_CHOICES), list):
        given = list(_plain(record))
    elif _MINIMAL & record.keys():
        given = []
        _check_unanswered(record, classes)
    else:
        raise Unusable(
            f"needed is a Label Studio task with annotations, an Argilla record with responses, or an "
            f"object with {QUESTION}, and text or id"
        )
    for answer in given:
        if answer.label not in classes:
            raise Unusable(f"{answer.field}: {answer.label!r} is no class; allowed are {', '.join(classes)}")
    return given


def _label_studio(record: dict[str, Any]) -> Iterator[Answer]:
    data = _member(record, "data", dict)
    text, identity = _named(data, "data.")
    asked = _asks_ours(record)
    for number, annotation in enumerate(_member(record, "annotations", list)):
        at = f"annotations[{number}]"
        if not isinstance(annotation, dict):
            raise Unusable(f"{at}: needed is an object")
        if annotation.get("was_cancelled"):
            continue
        results = {
            f"{at}.result[{place}]": result
            for place, result in enumerate(_member(annotation, "result", list, f"{at}."))
            if isinstance(result, dict) and result.get("type") == "choices"
        }
        if asked or len(results) > 1:  # other questions may be asked too
            results = {key: result for key, result in results.items() if result.get("from_name") == QUESTION}
        who = annotation.get("completed_by")
        for place, result in results.items():
            field = f"{place}.value.choices"
            yield Answer(
                field=field,
                text=text,
                id=identity,
                label=_choice(_member(result, "value", dict, f"{place}.").get("choices"), field),
                who=_name(who.get("email") or who.get("id") if isinstance(who, dict) else who),
                when=_when(annotation.get("updated_at") or annotation.get("created_at"), f"{at}.updated_at"),
            )


def _asks_ours(record: dict[str, Any]) -> bool:
    """Whether our question is among those of a task: in an answer, or in the prediction that we exported."""
    parts = [part for key in ("annotations", "predictions", "drafts") for part in _objects(record.get(key))]
    results = [result for part in parts for result in _objects(part.get("result"))]
    return any(result.get("from_name") == QUESTION for result in results)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _argilla(record: dict[str, Any]) -> Iterator[Answer]:
    responses = _member(record, "responses", dict)
    suggestions = record.get("suggestions")
    question = _question(list(responses), isinstance(suggestions, dict) and QUESTION in suggestions)
    if question is None or responses[question] is None:
        return
    at = f"responses.{question}"
    text = _argilla_text(_member(record, "fields", dict), "fields.")
    for number, response in enumerate(_member(responses, question, list, "responses.")):
        if not isinstance(response, dict):
            raise Unusable(f"{at}[{number}]: needed is an object")
        given = (response.get("value"), response.get("user_id"), response.get("status"))
        yield from _submitted(f"{at}[{number}].value", text, given)


def _argilla_flat(record: dict[str, Any]) -> Iterator[Answer]:
    names = [key.removesuffix(".responses") for key in record if key.endswith(".responses")]
    question = _question(names, any(key.startswith(f"{QUESTION}.") for key in record))
    at = f"{question}.responses"
    if question is None or record[at] is None:
        return
    text = _argilla_text(record, "")
    values = _member(record, at, list)
    # Either list may be absent.
    users = record.get(f"{at}.users") or [None] * len(values)
    states = record.get(f"{at}.status") or [None] * len(values)
    if not (
        isinstance(users, list) and isinstance(states, list) and len(values) == len(users) == len(states)
    ):
        raise Unusable(f"{at}: needed are lists of one length: the answers, their users and their status")
    for number, given in enumerate(zip(values, users, states, strict=True)):
        yield from _submitted(f"{at}[{number}]", text, given)


def _submitted(field: str, text: str, given: tuple[Any, Any, Any]) -> Iterator[Answer]:
    value, who, status = given
    if value is not None and status in (None, "submitted"):  # else a draft, or discarded
        # The record's id is the tool's, not the corpus's.
        yield Answer(field=field, text=text, id=None, label=_choice(value, field), who=_name(who), when=None)


def _check_unanswered(record: dict[str, Any], classes: Sequence[str]) -> None:
    """Raise Unusable where a record without our question has an answer to another."""
    for key, value in record.items():
        given = value.get("choices") if isinstance(value, dict) else value
        if isinstance(value, dict) or (isinstance(given, str) and given in classes and key != "text"):
            raise Unusable(f"{key}: an answer to a question that is not named {QUESTION!r}; rename it")


def _plain(record: dict[str, Any]) -> Iterator[Answer]:
    field = QUESTION if QUESTION in record else _CHOICES
    if record[field] in (None, "", []) or declined(record.get("answer")):
        return
    text, identity = _named(record, "")
    label, who = record[field], record.get("who", record.get("annotator"))
    at = next((key for key in _TIMES if record.get(key) is not None), _TIMES[0])
    yield Answer(
        field=field,
        text=text,
        id=identity,
        label=_choice(label.get("choices") if isinstance(label, dict) else label, field),
        who=_name(who.get("email") or who.get("id") if isinstance(who, dict) else who),
        when=_when(record.get(at), at),
    )


def _named(record: dict[str, Any], at: str) -> tuple[str | None, str | None]:
    text, identity = record.get("text"), _id(record.get("id"), f"{at}id")
    if text is None and identity is None:
        raise Unusable(f"{at}text: missing, and {at}id too; one of them is needed")
    return None if text is None else _text(text, f"{at}text"), identity


def _argilla_text(fields: dict[str, Any], at: str) -> str:
    return _text(fields.get("text"), f"{at}text")


def _question(names: list[str], asked: bool) -> str | None:
    """Of the questions answered the one that is meant; None where nobody answered it.

    It is ours, or the only one unless ours was ``asked`` too.
    """
    if asked and QUESTION not in names:
        return None
    if len(names) > 1 and QUESTION not in names:
        raise Unusable(f"responses: no question {QUESTION!r}; there are {', '.join(names)}")
    return QUESTION if QUESTION in names else next(iter(names), None)


def _member(record: dict[str, Any], key: str, kind: type[Any], at: str = "") -> Any:
    value = record.get(key)
    if not isinstance(value, kind):
        raise Unusable(f"{at}{key}: needed is {'an object' if kind is dict else 'a list'}")
    return value


def _choice(value: Any, field: str) -> str:
    """One label, by itself or as the only one of a list."""
    if isinstance(value, list):
        if len(value) != 1:
            raise Unusable(f"{field}: {len(value)} labels; one is needed")
        value = value[0]
    if not isinstance(value, str):
        raise Unusable(f"{field}: is of type {type(value).__name__}; a label is needed")
    return value


def _text(value: Any, field: str) -> str:
    try:
        return string(field, value)
    except ValueError as error:
        raise Unusable(str(error)) from error


def _id(value: Any, field: str) -> str | None:
    """An id, as the corpus spells it."""
    try:
        return _name(spelled(field, value))
    except ValueError as error:
        raise Unusable(str(error)) from error


def _name(value: Any) -> str | None:
    """An id or a person's name; tools give numbers too."""
    if value is None or isinstance(value, (dict, list)):
        return None
    return str(value).encode("utf-8", "replace").decode()


def _when(value: Any, field: str) -> str | None:
    if value is None:
        return None
    try:
        moment = _EPOCH + datetime.timedelta(microseconds=microseconds(field, value))
    except (ValueError, OverflowError) as error:
        raise Unusable(f"{field}: {value!r} is no time; ISO 8601 or Unix seconds are needed") from error
    return moment.isoformat(timespec="microseconds")

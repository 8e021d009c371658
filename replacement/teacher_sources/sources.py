"""Whoever answers for a task where no model of transformers does, and what is told of it."""

import ipaddress
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pingti.checks.teacher_labels import PYTHON, labels_asked
from pingti.errors import DefinitionError, InputError, UnavailableError
from pingti.http.bearer_key import bearer_key
from pingti.workspace.definition import EndpointSection
from pingti.workspace.registry import TaskEntry
from replacement.teacher_sources.stored_answers import read_answers

if TYPE_CHECKING:  # torch only where a teacher is asked
    from teacher.protocol import AnswerSource, AnyTeacher
    from teacher.sources.callables import Function
    from teacher.sources.stored import StoredAnswers

STORED = "answers"
"""What a report calls a teacher that is nothing but stored answers."""


def has_model(owner: TaskEntry) -> bool:
    """Whether a model of transformers answers for a task.

    Args:
        owner: the task that has the teacher.
    """
    model = owner.definition.teacher.model
    return bool(model) and not model.startswith(PYTHON)


def source_name(owner: TaskEntry) -> str:
    """What a report calls a teacher that is no model of transformers.

    Args:
        owner: the task that has the teacher.
    """
    section = owner.definition.teacher
    if section.endpoint is not None:
        return f"endpoint:{section.endpoint.model or section.endpoint.url}"
    return section.model or STORED


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """Who answers for a task."""

    source: "AnswerSource"
    """Is asked."""
    stored: "StoredAnswers | None" = None
    """What goes before all others."""
    asked: "AnyTeacher | None" = None
    """The endpoint or function, if there is one."""
    independent: bool = False
    """Whether each label is answered by itself."""
    notes: tuple[str, ...] = ()
    """What is to be told of it, a sentence each."""


def open_source(
    owner: TaskEntry,
    function: "Function | None" = None,
    *,
    model: "AnswerSource | None" = None,
    independent: bool = False,
    passing: bool = False,
) -> Opened:
    """Open what answers for a task, stored answers first.

    Args:
        owner: the task that has the teacher.
        function: what "python:NAME" stands for, where it was given.
        model: the model that answers, if the definition names one.
        independent: whether the model answers each label by itself.
        passing: whether rows of jobs are asked about, whose answers are kept for a while.

    Raises:
        DefinitionError: a key that is not set, or a function that nothing stands for.
        InputError: stored answers that cannot be used, or an address that may not be reached.
    """
    from teacher.sources.kept import KeptAnswers
    from teacher.sources.stored import StoredFirst

    asked = _asked(owner, function) if model is None else None
    other = KeptAnswers.open(asked, owner.workspace.teachers, passing=passing) if asked is not None else model
    if not owner.definition.teacher.answers:
        if other is None:
            raise DefinitionError(f"{owner.path}: teacher: nobody answers")
        return Opened(source=other, asked=asked, independent=independent)
    read = read_answers(owner, other.labels if other is not None else None, independent=independent)
    source: AnswerSource = StoredFirst(read.answers, other)
    return Opened(
        source=source, stored=read.answers, asked=asked, independent=read.independent, notes=read.notes
    )


def _asked(owner: TaskEntry, function: "Function | None") -> "AnyTeacher | None":
    """Whom a task asks; None where stored answers are all there is."""
    section = owner.definition.teacher
    if section.endpoint is not None:
        return _endpoint(owner, section.endpoint)
    if not section.model.startswith(PYTHON):
        return None
    from teacher.sources.callables import CallableTeacher

    if function is None:
        raise UnavailableError(
            f"{owner.path}: teacher.model: {section.model!r} is a function of Python, which only "
            "pingti.replace(entry, teacher=function) can be given"
        )
    return CallableTeacher(function, labels_asked(owner.definition), section.model.removeprefix(PYTHON))


def _endpoint(owner: TaskEntry, section: EndpointSection) -> "AnyTeacher":
    from teacher.endpoints.chat import ChatTeacher
    from teacher.endpoints.classifier import ClassifierTeacher
    from teacher.endpoints.requests import check_address
    from teacher.endpoints.settings import Endpoint

    key = _key(owner, section.key_variable) if section.key_variable else None
    chosen = section.model_dump(exclude={"kind", "labels"})
    endpoint = Endpoint(
        **chosen,
        labels=labels_asked(owner.definition),
        key=key,
        private_networks=_private_networks(),
    )
    check_address(endpoint)
    return ChatTeacher(endpoint) if section.kind == "chat" else ClassifierTeacher(endpoint)


def _private_networks() -> tuple[str, ...]:
    """Those that may be reached although they are not public, as for the service."""
    networks = [part.strip() for part in os.environ.get("PINGTI_PRIVATE_NETWORKS", "").split(",")]
    try:
        return tuple(str(ipaddress.ip_network(network)) for network in networks if network)
    except ValueError as error:
        raise InputError(f"PINGTI_PRIVATE_NETWORKS: {error}") from error


def _key(owner: TaskEntry, variable: str) -> str:
    """The endpoint's key out of the environment; no error holds it."""
    where = f"{owner.path}: teacher.endpoint.key_variable: the variable {variable} of the environment"
    given = os.environ.get(variable)
    if given is None:
        raise DefinitionError(f"{where} is not set; it must hold the endpoint's key")
    try:
        key = bearer_key(given)
    except ValueError as error:
        raise DefinitionError(f"{where}: {error}") from None
    if not key.isascii():
        raise DefinitionError(f"{where}: the key holds a character that no header carries; needed is ASCII")
    return key

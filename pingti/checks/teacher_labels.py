"""Which labels a teacher that is no model of transformers answers with, as far as the definition tells."""

from collections.abc import Sequence

from pingti.workspace.definition import Definition, TeacherSection

PYTHON = "python:"
"""What ``teacher.model`` begins with where a function answers."""


def labels_asked(definition: Definition) -> tuple[str, ...]:
    """The labels of an endpoint or a function: those named, else those that are mapped, else the classes.

    Args:
        definition: of the task that has the teacher.
    """
    section = definition.teacher
    named = () if section.endpoint is None else section.endpoint.labels or (*section.endpoint.descriptions,)
    mapped = tuple(label for label in section.map if label != "*")
    return named or (mapped if "*" not in section.map and mapped else definition.classes)


def answered_alone(section: TeacherSection) -> bool:
    """Whether stored answers that are all there is answer each label by itself.

    Args:
        section: of the task that has the teacher. One score alone is read as a model of one output is, and
            ``teacher.label`` asks for one of several.
    """
    return section.label is not None or len(section.answer_columns.scores) == 1


def in_order(given: tuple[str, ...], classes: Sequence[str]) -> tuple[str, ...]:
    """The labels; those that are the classes, or some of them, in the order of the classes.

    Args:
        given: labels.
        classes: of the task.
    """
    return tuple(classes) if set(given) <= set(classes) else given

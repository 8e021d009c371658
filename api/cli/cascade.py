"""Who is asked by ``pingti classify`` where a student with a cascade is not sure."""

from pathlib import Path
from typing import TYPE_CHECKING

from api.cli.console import Screen
from pingti.errors import UnavailableError
from pingti.extras import install_hint

if TYPE_CHECKING:
    from pingti.inference.classifier import Classifier


def with_second(classifier: "Classifier", home: Path, screen: Screen, *, asked: bool) -> "Classifier":
    """The classifier, and the teachers of the tasks that have a cascade, loaded in this process.

    Args:
        classifier: the students.
        home: the workspace.
        screen: is told who answers.
        asked: whether the teachers are to be asked; else rows of which a student is not sure are marked.

    Raises:
        ConflictError: a teacher is another by now.
        UnavailableError: a teacher cannot be had.
    """
    pins = [pin for pin in classifier.pins if pin.second is not None]
    if pins and not asked:
        names = ", ".join(pin.name for pin in pins)
        screen.note(f"{names}: the student answers alone; rows of which it is not sure are marked unsure")
        return classifier.alone()
    pins = [pin for pin in pins if pin.second == "teacher"]  # another second is one of the students
    if not pins:
        return classifier
    names = ", ".join(pin.name for pin in pins)
    without = "--no-cascade has the student answer alone"
    try:
        from pingti.workspace.registry import Workspace
        from replacement.second.teacher import TeacherSecond  # torch only here

        second = TeacherSecond(Workspace(home), screen.advance)
        for pin in pins:
            second.load(pin)
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"{names}: {error.name} is missing: {install_hint('teacher')}; {without}"
        ) from error
    except UnavailableError as error:
        raise UnavailableError(f"{error}; {without}") from error
    return classifier.asking(second)

"""Students of the shapes that ``pingti search`` chooses, trained on the rows of the same run."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from pingti.workspace.registry import TaskEntry
from replacement.search.material import read_material
from replacement.search.pareto import Wish, choose
from replacement.search.run import search
from replacement.search.trials import train_shape
from textcnn import Student

WISHES: Final = {"search_cheap": Wish(kind="cheap"), "search_good": Wish(kind="good")}
"""What each kind of the results is chosen by."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A student of a shape that was chosen."""

    kind: str
    student: Student
    threshold: float | None
    more: dict[str, Any]
    """What else there is to say: the shape, its share of the default's operations, the search's compute."""


def searched(entry: TaskEntry, seed: int) -> list[Found]:
    """Search the shapes of a task that has a version, and train those that are chosen on all of its rows.

    Args:
        entry: the task.
        seed: of the search; the students are trained with another.
    """
    result = search(entry, seed=seed)
    material = read_material(entry, seed=seed + 1000)
    students = []
    for kind, wish in WISHES.items():
        point = choose(result.points, wish)
        student, _, threshold = train_shape(material, point.shape)
        more = {
            "shape": asdict(point.shape),
            "cost": round(point.cost, 4),
            "trainings": round(result.compute, 2),
        }
        students.append(Found(kind=kind, student=student, threshold=threshold, more=more))
    return students

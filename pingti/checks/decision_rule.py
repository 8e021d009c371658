"""What does not fit between a teacher's outputs and what a definition says of them; no model is loaded."""

from collections.abc import Sequence

from pingti.checks.label_names import label_faults, unnamed
from pingti.errors import Fault
from pingti.workspace.definition import TeacherSection


def rule_faults(
    labels: Sequence[str], independent: bool, classes: Sequence[str], section: TeacherSection
) -> list[Fault]:
    """All that does not fit between a teacher's outputs and what a definition says of them.

    Args:
        labels: the model's, an output each.
        independent: whether each output answers a question of its own.
        classes: names of the task's classes.
        section: what the definition says of the teacher.
    """
    if not independent:
        if section.label is not None:
            detail = (
                f"{section.label!r}: of this model's labels one holds, and none is answered by itself; "
                f'teacher.map = {{ "{section.label}" = "{classes[-1]}", "*" = "{classes[0]}" }} asks for one'
            )
            return [Fault(detail=detail, pointer="/teacher/label")]
        return label_faults(labels, classes, section.map)
    known = ", ".join(labels)
    if len(classes) != 2:
        detail = (
            f"there are {len(classes)}; a model that answers {known} each by itself decides tasks of two "
            "classes, one for each label"
        )
        return [Fault(detail=detail, pointer="/classes")]
    if section.label is None and len(labels) > 1:
        detail = (
            f"this model answers each of {known} by itself; teacher.label says which one the task asks for"
        )
        return [Fault(detail=detail, pointer="/teacher/label")]
    if section.label is not None and section.label not in labels:
        return [
            Fault(detail=f"no label {section.label!r}; the teacher has {known}", pointer="/teacher/label")
        ]
    return _faults_of_output(section.label or labels[0], classes, section)


def _faults_of_output(label: str, classes: Sequence[str], section: TeacherSection) -> list[Fault]:
    """What does not fit between the output that is read and the two classes."""
    strange = sorted(set(section.map) - {label, "*"})
    if strange or (section.map and label not in section.map):
        detail = (
            f"{', '.join(strange) or label}: the task asks the model for {label!r} alone; the map may say "
            "which class that stands for, and the other class is the rest"
        )
        return [Fault(detail=detail, pointer="/teacher/map")]
    if "*" in section.map and section.map["*"] == section.map[label]:
        return [
            Fault(
                detail=f"{section.map[label]!r} is the class of {label!r} and of the rest; they are two",
                pointer="/teacher/map",
            )
        ]
    if section.label is None and not section.map and label not in classes and not unnamed([label]):
        detail = (
            f"{', '.join(classes)} are not the teacher's label, {label}; teacher.map says which class it "
            "stands for"
        )
        return [Fault(detail=detail, pointer="/classes")]
    return []

"""How fast students and their teacher are on this machine, on the same texts, on one core each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pingti.students import AnyStudent

_STUDENT_ROWS = 20_000
_TURN_SECONDS = 1.0  # about, at most, that a student's turn takes
_TURNS = 3


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Texts per second on one core, from text to class probabilities."""

    student: float
    teacher: float

    @property
    def ratio(self) -> float:
        """How many texts the student scores while the teacher scores one."""
        return self.student / self.teacher


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """Texts per second on one core of students that were timed together."""

    students: tuple[float, ...]
    teacher: float | None
    """None where no model of it is here."""

    def of(self, place: int) -> Speed | None:
        """The speed of one student beside its teacher's; None where that is not known."""
        return None if self.teacher is None else Speed(student=self.students[place], teacher=self.teacher)


def measure_speed(
    student: AnyStudent,
    teacher_model: str,
    texts: pa.Array,
    *,
    max_length: int = 64,
    precision: str | None = None,
    teacher_rows: int = 64,
) -> Speed:
    """Time a student and its teacher; arguments as of ``measure_speeds``."""
    speeds = measure_speeds(
        [student],
        teacher_model,
        texts,
        max_length=max_length,
        precision=precision,
        teacher_rows=teacher_rows,
    )
    return Speed(student=speeds.students[0], teacher=speeds.teacher or 0.0)


def measure_speeds(
    students: Sequence[AnyStudent],
    teacher_model: str | None,
    texts: pa.Array,
    *,
    max_length: int = 64,
    precision: str | None = None,
    teacher_rows: int = 64,
) -> Speeds:
    """Time students and their teacher in turns, three times, and take each one's median.

    A student gets ``texts`` again and again, up to 20,000 rows, a slow one as many as it scores in a second;
    the teacher gets fewer: each enough to be timed. All run on one core of the CPU, whatever the teacher ran
    on before.

    Args:
        students: of any kinds.
        teacher_model: name or folder of the teacher's model; None: there is none to be timed.
        texts: an Arrow array of strings, not empty.
        max_length: tokens of a text that the teacher reads.
        precision: the teacher's, such as "float32"; the model's own where absent.
        teacher_rows: texts that the teacher gets a turn.

    Returns:
        What each does in a second.
    """
    timed = [_student_turn(student, texts, teacher_rows) for student in students]
    if teacher_model is not None:
        timed.append(_teacher_turn(teacher_model, _spread(texts, teacher_rows), max_length, precision))
    seconds = np.zeros((_TURNS, len(timed)))
    for turn in range(_TURNS):
        for place, (score, _) in enumerate(timed):
            start = time.perf_counter()
            score()
            seconds[turn, place] = time.perf_counter() - start
    rates = [
        rows / float(median) for (_, rows), median in zip(timed, np.median(seconds, axis=0), strict=True)
    ]
    return Speeds(
        students=tuple(rates[: len(students)]), teacher=None if teacher_model is None else rates[-1]
    )


def _student_turn(student: AnyStudent, texts: pa.Array, probed: int) -> tuple[Callable[[], object], int]:
    """What a student does in a turn, and with how many rows; it is warm then."""
    probe = _spread(texts, probed)
    student.score(probe)
    start = time.perf_counter()
    student.score(probe)
    rate = len(probe) / max(1e-9, time.perf_counter() - start)
    most = max(len(probe), min(_STUDENT_ROWS, round(rate * _TURN_SECONDS)))
    if most < len(texts):
        texts = _spread(texts, most)
    else:
        texts = pa.concat_arrays([texts] * max(1, most // len(texts)))
    return lambda: student.score(texts), len(texts)


def _teacher_turn(
    model: str, texts: pa.Array, max_length: int, precision: str | None
) -> tuple[Callable[[], object], int]:
    from teacher.bert import Teacher  # torch only where a teacher is asked

    teacher = Teacher.load(model, max_length=max_length, precision=precision, device="cpu", threads=1)
    asked = texts.to_pylist()
    teacher.score(asked[:8])
    return lambda: teacher.score(asked), len(asked)


def _spread(texts: pa.Array, rows: int) -> pa.Array:
    """So many of the texts, spread evenly."""
    return texts.take(pa.array(np.linspace(0, len(texts) - 1, min(rows, len(texts))).astype(np.int64)))

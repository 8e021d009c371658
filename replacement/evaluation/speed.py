"""How fast a student and its teacher are on this machine, on the same texts, on one core each."""

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from textcnn import Student

_STUDENT_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Texts per second on one core, from text to class probabilities."""

    student: float
    teacher: float

    @property
    def ratio(self) -> float:
        """How many texts the student scores while the teacher scores one."""
        return self.student / self.teacher


def measure_speed(
    student: Student,
    teacher_model: str,
    texts: pa.Array,
    *,
    max_length: int = 64,
    precision: str | None = None,
    teacher_rows: int = 64,
) -> Speed:
    """Time both in turns, three times, and take each one's median.

    The student gets ``texts`` again and again, up to 20,000 rows, and the teacher fewer: each enough to be
    timed. Both run on one core of the CPU, whatever the teacher ran on before.

    Args:
        student: the student.
        teacher_model: name or folder of the teacher's model.
        texts: an Arrow array of strings, not empty.
        max_length: tokens of a text that the teacher reads.
        precision: the teacher's, such as "float32"; the model's own where absent.
        teacher_rows: texts that the teacher gets a turn.

    Returns:
        What both do in a second.
    """
    from teacher.bert import Teacher  # torch only where a teacher is asked

    teacher = Teacher.load(teacher_model, max_length=max_length, precision=precision, device="cpu", threads=1)
    sample = texts.take(
        pa.array(np.linspace(0, len(texts) - 1, min(teacher_rows, len(texts))).astype(np.int64))
    )
    asked = sample.to_pylist()
    texts = pa.concat_arrays([texts] * max(1, _STUDENT_ROWS // max(1, len(texts))))
    teacher.score(asked[:8])
    student.score(texts.slice(0, 100))
    student_seconds, teacher_seconds = [], []
    for _ in range(3):
        start = time.perf_counter()
        student.score(texts)
        student_seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        teacher.score(asked)
        teacher_seconds.append(time.perf_counter() - start)
    return Speed(
        student=len(texts) / float(np.median(student_seconds)),
        teacher=len(asked) / float(np.median(teacher_seconds)),
    )

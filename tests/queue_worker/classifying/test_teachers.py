"""The process that asks teachers: kept between shards, replaced and ended when it must be."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pingti.errors import UnavailableError
from pingti.inference.classifier import Classifier
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from queue_worker.classifying import teachers
from queue_worker.classifying.teachers import TeacherProcess
from queue_worker.processes import line_process
from queue_worker.settings import Settings
from replacement.training import loop
from tests.support.brokers import gone, until
from tests.support.cascades import ASKING, asking
from tests.support.teachers import sport

ANSWERING = """
import json, os, sys
for line in sys.stdin:
    print(json.dumps({"labels": [str(os.getpid())] * len(json.loads(line)["texts"])}), flush=True)
"""


def running(tmp_path: Path, program: str, idle_seconds: float = 600.0) -> TeacherProcess:
    command = (sys.executable, "-c", program)
    return TeacherProcess(Settings(home=tmp_path), command=command, idle_seconds=idle_seconds)


def answered(process: TeacherProcess, *pins: teachers.Pin) -> str | None:
    """What the process answers a shard, which asks it about each pin."""
    with asking(process, *pins) as second:
        (answer,) = {labels[0] for labels in [second(pin, ["one"]) for pin in pins or (ASKING,)]}
    return answer


def test_one_process_answers_shards_of_the_same_teachers(tmp_path: Path) -> None:
    other, both = replace(ASKING, task="tech"), (ASKING, replace(ASKING, task="tech"))
    process = running(tmp_path, ANSWERING)
    first = answered(process)
    assert first == str(process.pid)
    assert answered(process) == first
    assert answered(process, *both) == first  # one more teacher for a shard that asks both
    second = answered(process)  # it holds one that this shard does not ask
    assert second != first
    assert answered(process, other) not in (first, second)
    newer = answered(process, replace(other, version=2))
    assert newer not in (first, second)
    process.end()
    assert process.pid is None
    until(lambda: gone(int(str(newer))), "the process has ended")


def test_a_process_that_nobody_asks_ends_and_the_next_shard_starts_another(tmp_path: Path) -> None:
    process = running(tmp_path, ANSWERING, idle_seconds=0.01)
    with asking(process) as second:
        first = second(ASKING, ["one"])
        threading.Event().wait(0.1)
        assert second(ASKING, ["one"]) == first  # never while a shard may ask
    until(lambda: process.pid is None, "nobody asks")
    assert gone(int(str(first[0])))
    assert answered(process) != first[0]
    process.end()


def test_what_it_remembers_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teachers, "_MOST_TEXTS", 2)
    process = running(tmp_path, ANSWERING)
    first = answered(process)
    assert answered(process) == first
    assert answered(process) != first
    process.end()


def test_one_that_was_killed_between_two_shards_is_started_again(tmp_path: Path) -> None:
    process = running(tmp_path, ANSWERING)
    first = answered(process)
    os.kill(int(str(first)), signal.SIGKILL)
    assert answered(process) != first
    process.end()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; input(); os._exit(7)", "its process ended with code 7, twice"),
        ("import time; input(); print('no JSON', flush=True); time.sleep(600)", "gave no answer that fits"),
        ("import time; input(); print('[1]', flush=True); time.sleep(600)", "gave no answer that fits"),
        (
            "import time; input(); print('{\"labels\": []}', flush=True); time.sleep(600)",
            "no answer that fits",
        ),
        ('input(); print(\'{"error": "the folder is gone"}\')', "cannot be had: the folder is gone"),
    ],
)
def test_a_bad_answer_fails_the_shard_and_the_next_starts_another(
    tmp_path: Path, program: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_process, "_END_SECONDS", 60.0 if "_exit" in program else 0.0)
    bad = tmp_path / "bad"
    bad.touch()
    both = f"import pathlib\nif pathlib.Path({str(bad)!r}).exists():\n    {program}\n    raise SystemExit\n"
    process = running(tmp_path, both + ANSWERING)
    with pytest.raises(UnavailableError, match=reason):
        answered(process)
    assert answered(process, replace(ASKING, on_no_second="student")) is None
    bad.unlink()
    assert answered(process) == str(process.pid)
    process.end()


def test_one_that_is_killed_over_a_shard_is_asked_once_more(tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    once = (
        f"import os, pathlib; mark = pathlib.Path({str(mark)!r})\n"
        "if not mark.exists(): mark.touch(); os._exit(9)\n"
    )
    process = running(tmp_path, once + ANSWERING)
    assert answered(process) == str(process.pid)
    process.end()


def test_waiting_for_a_teacher_ends_when_the_shard_must(tmp_path: Path) -> None:
    class Ended(Exception):
        pass

    def check() -> None:
        raise Ended

    process = running(tmp_path, "import time; input(); time.sleep(3600)")
    with pytest.raises(Ended), asking(process, check=check) as second:
        second(ASKING, ["one"])
    assert process.pid is None  # an answer to a question that nobody asks any more would be the next one's
    with pytest.raises(Ended), asking(process, check=check) as second:
        second(ASKING, ["a text longer than what a pipe takes" * 10_000])
    process.end()


@pytest.mark.parametrize("guard", ["kernel", "watch"])
def test_it_ends_with_the_process_that_had_it_started(tmp_path: Path, guard: str) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.support.cascades import ASKING, asking\n"
        "from queue_worker.classifying.teachers import TeacherProcess\n"
        "from queue_worker.settings import Settings\n"
        f"process = TeacherProcess(Settings(home=Path({str(tmp_path)!r})), command=sys.argv[1:])\n"
        "with asking(process) as second:\n"
        "    print(second(ASKING, ['one'])[0], flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, sys.executable, "-c", ANSWERING],
        stdout=subprocess.PIPE,
        env={**os.environ, "PINGTI_GUARD": guard, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not gone(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: gone(child), "the teacher's process ends")


def test_what_it_says_on_standard_error_is_in_the_workers_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process = running(tmp_path, "import sys; sys.stderr.write('a warning')\n" + ANSWERING)
    answered(process)
    process.end()
    assert "a warning" in capfd.readouterr().err


@pytest.fixture(scope="module")
def taught(topic_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a promoted student of a teacher."""
    entry = sport(tmp_path_factory.mktemp("taught"), topic_teacher, rounds=1)
    promotion.promote(entry, loop.replace(entry).version, why="a test", force=True)
    return entry.workspace


def test_the_process_of_teachers_answers_line_by_line(
    taught: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    pin = replace(Classifier.of(taught, ["sport"]).pins[-1], on_no_second="fail")
    missing = replace(pin, task="nothing")
    process = TeacherProcess(Settings(home=taught.root))
    with asking(process, pin, missing) as second:
        assert set(second(pin, ["the goal match", "a bread garden"])) <= {"no", "yes"}
        first = process.pid
        with pytest.raises(UnavailableError, match="nothing"):
            second(missing, ["the goal"])
        assert len(second(pin, ["again"])) == 1
    with asking(process, pin, missing) as second:
        assert len(second(pin, ["a later shard"])) == 1
    assert process.pid == first
    process.end()


def test_what_is_printed_around_python_is_no_answer(
    taught: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os, sys\n"
        "from replacement.second import process\n"
        "def second(self, pin, texts):\n"
        "    os.write(1, b'a line of a library in C\\n')\n"
        "    print('a line of a model')\n"
        "    return ['yes' for text in texts]\n"
        "process.TeacherSecond.__call__ = second\n"
        f"sys.exit(process.main(['--home', {str(taught.root)!r}]))\n"
    )
    process = running(taught.root, program)
    assert answered(process) == "yes"
    process.end()

"""Agreement of student and teacher on jobs' rows: counted once, an alarm when it falls, and what follows."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingti.annotation import labels
from pingti.errors import ConflictError, DefinitionError
from pingti.inference.classifier import Classifier, Second
from pingti.inference.pins import Pin
from pingti.workspace import promotion
from pingti.workspace.definition import parse
from pingti.workspace.registry import TaskEntry, Workspace
from queue_worker.classifying.teachers import TeacherProcess
from queue_worker.jobs.callbacks import secret, verify
from queue_worker.jobs.models import Job
from queue_worker.jobs.store import JobStore
from queue_worker.retraining.drift import MIN_ROWS, Agreement, agreement, alarms, fallen, wilson
from queue_worker.retraining.drift_monitor import DriftMonitor
from queue_worker.retraining.runs import runs
from replacement.training.loop import replace
from tests.support.brokers import until
from tests.support.service import Service, serving
from tests.support.teachers import agreement_with_teacher, sport, topic_teacher

__all__ = ["topic_teacher"]


def test_wilsons_interval_of_a_worked_example() -> None:
    """Eight of ten, by hand: 0.490 to 0.943."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10_000).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_wilsons_interval_holds_the_share_and_shrinks(pair: tuple[int, int]) -> None:
    agreed, rows = pair
    low, high = wilson(agreed, rows)
    assert 0 <= low <= agreed / rows <= high <= 1
    narrow = wilson(4 * agreed, 4 * rows)
    assert narrow[1] - narrow[0] < high - low


def day_of(agreed: int, rows: int) -> Agreement:
    low, high = wilson(agreed, rows)
    known = {"day": "2025-12-01", "version": 1, "rows": rows, "agreed": agreed}
    return Agreement.model_validate({**known, "share": agreed / rows, "low": low, "high": high})


def test_what_counts_as_fallen() -> None:
    assert not fallen(day_of(0, MIN_ROWS - 1), (950, 1000))  # too few rows to say anything
    assert fallen(day_of(0, MIN_ROWS), (950, 1000))
    assert not fallen(day_of(93, 100), (950, 1000))
    assert fallen(day_of(80, 100), (950, 1000))
    assert not fallen(day_of(80, 100), (19, 20))  # a small holdout says little


@pytest.fixture(scope="module")
def service(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(_workspace_template, tmp_path_factory.mktemp("agreement") / "workspace") as service:
        service.start_worker()
        yield service


@pytest.fixture(autouse=True)
def empty(request: pytest.FixtureRequest) -> None:
    if "service" in request.fixturenames:
        service = request.getfixturevalue("service")
        service.client.flushdb()
        for name in ("agreement.jsonl", "alarms.jsonl"):
            (service.settings.home / "tasks" / "sport" / name).unlink(missing_ok=True)


class Agreeing(TeacherProcess):
    """Teachers that agree on a share of the rows, and keep what they were asked; no process."""

    def __init__(self, service: Service, share: float) -> None:
        super().__init__(service.settings)
        self.workspace, self.share = Workspace(service.settings.home), share
        self.asked: list[list[str]] = []

    @contextmanager
    def asked_for(self, pins: Iterable[Pin], check: Callable[[], None]) -> Iterator[Second]:
        yield self.answer

    def answer(self, pin: Pin, texts: list[str]) -> list[str | None]:
        self.asked.append(texts)
        agreed = int(self.share * len(texts))
        decided = Classifier.load(self.workspace, [pin]).classify(texts).column(pin.task).to_pylist()
        other = {"no": "yes", "yes": "no"}
        return [label if row < agreed else other[label] for row, label in enumerate(decided)]


def monitoring(service: Service, share: float) -> tuple[DriftMonitor, list[list[str]]]:
    """A monitor, and what its teachers will have been asked."""
    teachers = Agreeing(service, share)
    monitor = DriftMonitor(
        service.settings, service.client, stop=threading.Event(), teachers=teachers, pause=0.0
    )
    monitor.measure()  # what ended before is let be
    return monitor, teachers.asked


def define(service: Service, text: str) -> TaskEntry:
    path = service.settings.home / "tasks" / "sport.toml"
    path.write_text(path.read_text().partition("\n[watch]")[0] + f"\n[watch]\n{text}\n")
    return Workspace(service.settings.home).task("sport")


def finished(service: Service, name: str, texts: list[str]) -> Job:
    return service.wait(service.submit(service.write(name, texts)))


@pytest.mark.broker
def test_a_sample_of_each_job_is_counted_once(service: Service, texts: list[str]) -> None:
    entry = define(service, "sample = 60")
    monitor, asked = monitoring(service, 1.0)
    small = finished(service, "small.parquet", texts[:40])
    finished(service, "large.parquet", texts)
    assert monitor.measure() == 2
    assert sorted(len(each) for each in asked) == [40, 60]
    assert set(asked[1]) <= set(texts)
    assert len(set(asked[1])) > 50
    assert not set(asked[1]) <= set(texts[:200])  # all over the file
    (today,) = agreement(service.client, "sport")
    assert (today.version, today.rows, today.agreed, today.share) == (1, 100, 100, 1.0)
    assert alarms(service.client) == []
    # A worker that died between counting and forgetting the job counts it again: nothing changes.
    service.client.sadd("pingti:watch:open", small.id)
    assert monitor.measure() == 1
    assert agreement(service.client, "sport") == [today]
    lines = [json.loads(line) for line in (entry.folder / "agreement.jsonl").read_text().splitlines()]
    assert sorted(line["rows"] for line in lines) == [40, 60]
    assert monitor.measure() == 0


@pytest.mark.broker
def test_what_is_not_asked_about(service: Service, texts: list[str]) -> None:
    define(service, "sample = 0")
    monitor, asked = monitoring(service, 1.0)
    finished(service, "none.parquet", texts[:40])
    define(service, "sample = 30\ndaily = 30")
    finished(service, "replaced.parquet", texts[:40])
    service.write("replaced.parquet", texts[:41])  # another file by now
    gone = finished(service, "gone.parquet", texts[:40])
    Path(gone.inputs[0]).unlink()
    define(service, "sample = 0")
    assert monitor.measure() == 3
    define(service, "sample = 30\ndaily = 30")
    finished(service, "first.parquet", texts[:40])
    assert monitor.measure() == 1
    finished(service, "second.parquet", texts[:40])  # the day's rows are reached
    assert monitor.measure() == 1
    assert len(asked) == 1
    define(service, "sample = 30\ndaily = 60")
    for name in ("third.parquet", "fourth.parquet", "fifth.parquet"):
        finished(service, name, texts[:40])
    assert monitor.measure() == 3
    assert len(asked) == 2  # those of one look are counted together


@pytest.mark.broker
def test_a_fall_raises_one_alarm_and_rolls_back(
    service: Service, texts: list[str], receiver: tuple[str, list[Any]]
) -> None:
    url, received = receiver
    entry = define(service, f'sample = 80\non_alarm = "rollback"\ncallback = "{url}"')
    service.settings = service.settings.model_copy(update={"private_networks": ("127.0.0.0/8",)})
    shutil.copytree(entry.folder / "students" / "1", entry.folder / "students" / "2", dirs_exist_ok=True)
    promotion.promote(entry, 2, who="tests", why="newer")
    monitor, _ = monitoring(service, 0.5)
    finished(service, "fall.parquet", texts)
    finished(service, "fall2.parquet", texts)
    assert monitor.measure() == 2
    (alarm,) = alarms(service.client)
    assert (alarm.task, alarm.version, alarm.action) == ("sport", 2, "rollback")
    assert alarms(service.client, "tech") == []
    assert alarm.share == 0.5
    assert alarm.high < alarm.holdout_low
    assert JobStore(service.client).statistics.totals().alarms == {"sport": 1}
    assert entry.current() == 1
    last = entry.history()[-1]
    assert (last["event"], last["who"], last["why"]) == ("rolled back", "watch", alarm.sentence)
    assert len((entry.folder / "alarms.jsonl").read_text().splitlines()) == 1
    ((headers, body),) = received
    verify(secret(service.settings), headers, body)
    assert json.loads(body)["data"]["sentence"] == alarm.sentence


@pytest.mark.broker
def test_a_fall_may_start_a_retraining(service: Service, texts: list[str]) -> None:
    define(service, 'sample = 80\non_alarm = "retrain"')
    monitor, _ = monitoring(service, 0.2)
    finished(service, "retrain.parquet", texts)
    monitor.measure()
    (run,) = runs(service.client, "sport")
    assert (run.who, run.state) == ("watch", "queued")


@pytest.mark.broker
def test_an_alarm_outlives_the_process_that_raised_it(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = define(service, 'sample = 80\non_alarm = "retrain"')
    monitor, _ = monitoring(service, 0.2)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(DriftMonitor, "_act", dies)
        finished(service, "dies.parquet", texts)
        with pytest.raises(KeyboardInterrupt):
            monitor.measure()
    assert runs(service.client, "sport") == []
    monitor.measure()  # the next process finds the job still noted
    assert len(runs(service.client, "sport")) == 1
    assert len(alarms(service.client)) == 1
    assert len((entry.folder / "alarms.jsonl").read_text().splitlines()) == 1


@pytest.mark.broker
def test_a_teacher_that_is_not_there_is_no_alarm(service: Service, texts: list[str]) -> None:
    define(service, "sample = 20")
    monitor = DriftMonitor(service.settings, service.client, stop=threading.Event(), pause=0.0)
    monitor.measure()
    finished(service, "nowhere.parquet", texts[:30])
    assert monitor.measure() == 1  # the definition's teacher is "nowhere"
    assert agreement(service.client, "sport") == []
    assert alarms(service.client) == []


@pytest.mark.broker
def test_a_stop_ends_a_teacher_that_is_being_asked(
    service: Service, texts: list[str], tmp_path: Path
) -> None:
    define(service, "sample = 20")
    begun, stop = tmp_path / "begun", threading.Event()
    code = f"import os, time; open({str(begun)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    teachers = TeacherProcess(service.settings, command=(sys.executable, "-c", code))
    monitor = DriftMonitor(service.settings, service.client, stop=stop, teachers=teachers, pause=0.0)
    monitor.measure()
    job = finished(service, "slow.parquet", texts[:30])
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(monitor.measure)
        until(lambda: begun.exists() and begun.read_text(), "the teacher is asked")
        stop.set()
        assert measuring.result(timeout=60) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)
    assert service.client.smembers("pingti:watch:open") == {job.id}  # asked again by the next look


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/alarm", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_section_is_checked() -> None:
    base = 'classes = ["a", "b"]\n[corpus]\nfiles = ["x"]\n[teacher]\nmodel = "m"\n'
    assert parse(base).watch.sample == 50
    for line, sentence in (
        ('on_alarm = "panic"', "'nothing', 'rollback' or 'retrain'"),
        ("rows = 3", "allowed are callback, daily, on_alarm, sample"),
        ('callback = "ftp://x"', "watch.callback"),
        ("sample = -1", "watch.sample"),
    ):
        with pytest.raises(DefinitionError, match=sentence):
            parse(f"{base}[watch]\n{line}\n")


def test_the_real_teacher_is_asked_as_on_the_holdout(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01)
    rules = '[rules]\ndrop = ["^x"]\nnegative = ["^y"]\n\n[student]'
    entry.path.write_text(entry.path.read_text().replace("[student]", rules))
    entry = Workspace(tmp_path).task("sport")
    outcome = replace(entry)
    texts = [json.loads(line)["text"] for line in (tmp_path / "corpus.jsonl").read_text().splitlines()][480:]
    rows, agreed = agreement_with_teacher(entry, 1, ["x dropped", "y negative", *texts])
    assert rows == 120
    assert abs(agreed / rows - outcome.report["holdout"]["accuracy"]) < 0.1
    assert agreement_with_teacher(entry, 1, ["x"]) == (0, 0)

    # A changed definition counts from the next replace on.
    written = entry.path.read_text()
    changed = [
        written.replace('["no", "yes"]', '["other", "sport"]')
        .replace('sport = "yes"', 'sport = "sport"')
        .replace('"*" = "no"', '"*" = "other"'),
        written.replace('["no", "yes"]', '["yes", "no"]'),
        written.replace('sport = "yes"', 'tech = "yes"'),
        written.replace("[teacher]", '[teacher]\nmax_length = 8\nprecision = "bfloat16"', 1),
    ]
    for text in changed:
        assert text != written
        entry.path.write_text(text)
        there = Workspace(tmp_path).task("sport")
        labels.add(there, label_of(tmp_path / "labels.jsonl", there.definition.classes[1]))
        assert agreement_with_teacher(there, 1, texts) == (rows, agreed)
        (there.folder / labels.FILE).unlink()


def label_of(path: Path, name: str) -> Path:
    """A person's label of a text that no job has."""
    path.write_text(json.dumps({"text": "nothing like it", "label": name}) + "\n")
    return path


def test_exchanged_weights_are_another_teacher_and_no_disagreement(
    topic_teacher: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(topic_teacher, own)
    entry = sport(tmp_path, own, gate=0.01, rounds=1)
    replace(entry)
    agreement_with_teacher(entry, 1, ["goal"])
    weights = own / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4:] = np.float32(0.25).tobytes()
    weights.write_bytes(data)
    with pytest.raises(
        ConflictError, match="another teacher by now than the one that version 1 was made with"
    ):
        agreement_with_teacher(entry, 1, ["goal"])
    own = Pin(task="sport", scene="default", version=1, threshold=0.5)
    command = [sys.executable, "-P", "-m", "replacement.second.process", "--home", str(tmp_path)]
    question = json.dumps({"pin": vars(own), "texts": ["goal"]})
    ran = subprocess.run(command, input=question + "\n", capture_output=True, text=True, check=True)
    assert list(json.loads(ran.stdout)) == ["error"]

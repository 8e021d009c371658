"""``pingti jobs`` against a real service."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.command_line import Run, pingti
from tests.support.rest import Door, home, idle, running, texts

__all__ = ["home", "idle", "pingti", "running"]  # fixtures

pytestmark = pytest.mark.broker


def test_from_a_file_to_its_results(
    pingti: Run, running: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_URL", str(running.client.base_url))
    path = tmp_path / "titles.csv"
    path.write_bytes(texts(120) + b"one field only\n")
    asked = ("jobs", "submit", path, "--task", "sport", "--id", "key", "--json")
    refused = pingti(*asked)
    assert refused.returncode == 2
    assert "--upload sends the files instead" in refused.stderr
    wrong = pingti(*asked, "--upload", "--metadata", "team")
    assert wrong.returncode == 2
    assert "'team': needed is NAME=VALUE" in wrong.stderr

    ran = pingti(*asked, "--upload", "--wait", "--metadata", "team=search", "--priority", 3)
    assert ran.returncode == 0, ran.stderr
    job = json.loads(ran.stdout)
    assert (job["status"], job["counts"]["completed"], job["counts"]["failed"]) == ("completed", 120, 1)
    assert (job["metadata"], job["priority"]) == ({"team": "search"}, 3)
    assert json.loads(pingti("jobs", "show", job["id"], "--json").stdout) == job
    shown = pingti("jobs", "show", job["id"]).stdout
    assert f"pingti jobs results {job['id']} --out" in shown
    assert f"pingti jobs errors {job['id']} --out" in shown
    newest = json.loads(pingti("jobs", "list", "--task", "sport", "--limit", 1, "--json").stdout)
    assert newest[0]["id"] == job["id"]
    for ending, lines in ((".parquet", None), (".jsonl", 120), (".csv", 121)):
        out = tmp_path / f"out{ending}"
        ran = pingti("jobs", "results", job["id"], "--out", out, "--json")
        assert json.loads(ran.stdout) == {"out": str(out), "bytes": out.stat().st_size}
        assert lines is None or len(out.read_text().splitlines()) == lines
    printed = pingti("jobs", "results", job["id"])
    assert (printed.returncode, printed.stdout) == (0, (tmp_path / "out.jsonl").read_text())
    assert pingti("jobs", "results", job["id"], "--out", tmp_path / "OUT.CSV").returncode == 0
    assert (tmp_path / "OUT.CSV").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert pingti("jobs", "results", job["id"], "--out", tmp_path / "out.xls").returncode == 2
    assert pingti("jobs", "errors", job["id"], "--out", tmp_path / "bad.jsonl").returncode == 0
    assert [json.loads(line)["row"] for line in (tmp_path / "bad.jsonl").read_text().splitlines()] == [120]
    strict = pingti(*asked, "--upload", "--wait", "--max-bad", "0.1%")
    assert strict.returncode == 1
    assert "1 of 121 rows are bad; 0.10% of them are allowed" in strict.stderr
    lost = json.loads(strict.stdout)
    assert (lost["status"], lost["max_bad_rows"], lost["counts"]["completed"]) == ("failed", 0.001, 120)
    assert running.client.get(lost["links"]["results"]).status_code == 409
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        nowhere = pingti("jobs", "results", job["id"])
    assert (nowhere.returncode, "standard output is closed" in nowhere.stderr) == (6, True)
    unread = pingti("jobs", "results", lost["id"])
    assert (unread.returncode, unread.stdout, "is failed" in unread.stderr) == (4, "", True)
    assert len(running.client.get(lost["links"]["errors"]).text.splitlines()) == 1
    assert json.loads(pingti(*asked, "--upload", "--wait", "--max-bad", 1).stdout)["status"] == "completed"
    ran = pingti("jobs", "errors", job["id"])
    assert (ran.returncode, ran.stdout) == (0, (tmp_path / "bad.jsonl").read_text())
    path.write_text("key,text\n")
    empty = json.loads(pingti(*asked, "--upload", "--wait").stdout)
    assert (empty["status"], empty["counts"]["total"], empty["progress"]) == ("completed", 0, 1.0)
    missing = pingti("jobs", "submit", tmp_path / "none.csv", "--task", "sport", "--upload")
    assert (missing.returncode, "none.csv: there is no such file" in missing.stderr) == (2, True)
    days = tmp_path / "days"
    days.mkdir()
    for day in (2, 1):
        (days / f"{day}.csv").write_bytes(texts(day))
    for given in (days, days / "*.csv"):
        sent = pingti("jobs", "submit", given, "--task", "sport", "--upload", "--wait", "--json")
        job_of_days = json.loads(sent.stdout)
        assert [Path(path).name for path in job_of_days["inputs"]] == ["1.csv", "2.csv"]
        assert job_of_days["counts"]["completed"] == 3
    nothing = pingti("jobs", "submit", days / "*.tsv", "--task", "sport", "--upload")
    assert (nothing.returncode, "*.tsv: no such file" in nothing.stderr) == (2, True)
    there = running.settings.home / "days"
    there.mkdir()
    (there / "a.csv").write_bytes(texts(5))
    for given in (there, there / "*"):
        read = pingti("jobs", "submit", given, "--task", "sport", "--wait", "--json")
        assert json.loads(read.stdout)["inputs"] == [str(there / "a.csv")]
    night = (*asked, "--upload", "--idempotency-key", "night")
    first = json.loads(pingti(*night).stdout)
    files = running.client.get("/v1/files", params={"limit": 100}).json()["items"]
    assert json.loads(pingti(*night).stdout)["id"] == first["id"]
    # What was sent for nothing is gone again.
    assert running.client.get("/v1/files", params={"limit": 100}).json()["items"] == files
    assert pingti("jobs", "cancel", job["id"]).returncode == 4
    assert pingti("jobs", "delete", job["id"]).returncode == 0
    assert pingti("jobs", "show", job["id"]).returncode == 3
    assert pingti("jobs", "show", "../tasks").returncode == 3


def test_who_waits_is_told_that_a_job_was_not_completed(
    pingti: Run, idle: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_URL", str(idle.client.base_url))
    link = idle.submit().json()["links"]["self"]
    id = link.rpartition("/")[2]
    assert pingti("jobs", "cancel", id).returncode == 0
    ended = pingti("jobs", "wait", id, "--json")
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["status"] == "cancelled"
    assert f"job {id} is cancelled" in ended.stderr


def test_nobody_there(pingti: Run) -> None:
    ran = pingti("jobs", "list", "--url", "http://127.0.0.1:9")
    assert ran.returncode == 6
    assert "pingti up starts the service" in ran.stderr


def test_retrainings_are_asked_for_seen_and_cancelled(
    pingti: Run, running: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_URL", str(running.client.base_url))
    none = pingti("retrain", "list", "sport")
    assert (none.returncode, "pingti retrain start sport" in none.stderr) == (0, True)
    run = json.loads(pingti("retrain", "start", "sport", "--json").stdout)
    assert (run["task"], run["state"]) == ("sport", "queued")
    assert f"pingti retrain cancel {run['id']}" in pingti("retrain", "start", "sport").stdout
    assert [known["id"] for known in json.loads(pingti("retrain", "list", "sport", "--json").stdout)] == [
        run["id"]
    ]
    assert json.loads(pingti("retrain", "cancel", run["id"], "--json").stdout)["state"] == "cancelled"
    twice = pingti("retrain", "cancel", run["id"])
    assert (twice.returncode, "only one under way can be cancelled" in twice.stderr) == (4, True)
    assert run["id"] in pingti("retrain", "list", "sport").stdout
    for unknown in (("start", "spotr"), ("list", "spotr"), ("cancel", "sport/none")):
        refused = pingti("retrain", *unknown)
        assert refused.returncode == 3, refused.stderr
    formless = pingti("retrain", "cancel", "nonsense")
    assert (formless.returncode, "is no retraining's id, TASK/NAME" in formless.stderr) == (2, True)


def test_a_running_job_shows_who_has_its_shards(
    pingti: Run, idle: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_URL", str(idle.client.base_url))
    job = idle.submit().json()["id"]
    assert idle.client.get(f"/v1/jobs/{job}").json()["workers"] == {}
    assert idle.store.claim(job, "plan", worker="classify@there-7", lease_seconds=60)
    assert idle.client.get(f"/v1/jobs/{job}").json()["workers"] == {"plan": "classify@there-7"}
    shown = pingti("jobs", "show", job).stdout
    assert "plan: classify@there-7" in shown
    assert "rows: not counted yet; done 0, failed 0" in shown
    assert idle.client.get("/v1/jobs").json()["items"][0]["workers"] == {}

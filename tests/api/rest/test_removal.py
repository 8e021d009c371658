"""Tasks that are removed or renamed where there are jobs: over REST, and by the command line."""

from datetime import date, time

import pytest

from api.keys import Role, add_key
from pingti.client import Client
from pingti.errors import ConflictError, InputError, NotFoundError
from pingti.files import locked
from pingti.workspace.registry import Workspace
from queue_worker.keys import PREFIX
from queue_worker.retraining import drift
from queue_worker.retraining.runs import RunStore
from tests.support.command_line import Run
from tests.support.rest import Door, bearer, home, idle, own_door, problem, running

__all__ = ["home", "idle", "own_door", "running"]  # fixtures

pytestmark = pytest.mark.broker


def test_a_task_is_removed_once_no_job_needs_it(idle: Door) -> None:
    job = idle.submit(tasks=["sport", "tech"]).json()["id"]
    answer = idle.client.delete("/v1/tasks/sport")
    assert answer.status_code == 409
    assert f"jobs that have not ended need it: {job};" in problem(answer)["detail"]
    with Client(str(idle.client.base_url)) as client:
        with pytest.raises(ConflictError, match=job):
            client.delete_task("tech")
        client.delete_task("topic")  # which the job does not ask
        client.cancel(job)
        client.delete_task("sport")
        assert [task.name for task in client.tasks()] == ["tech"]
        with pytest.raises(NotFoundError, match="sport"):
            client.delete_task("sport")
        with pytest.raises(InputError, match="'sport': not in this workspace"):
            client.classify(["a"], ["sport"])
    refused = idle.submit(tasks=["sport"])
    assert refused.status_code == 422
    assert "not in this workspace" in problem(refused)["detail"]
    assert not (idle.settings.home / "tasks" / "sport").exists()


def test_many_jobs_are_counted_not_listed(idle: Door) -> None:
    for _ in range(5):
        assert idle.submit(tasks=["sport"], headers={}).status_code == 202
    detail = problem(idle.client.delete("/v1/tasks/sport"))["detail"]
    assert detail.count("job-") == 3
    assert " and 2 more; wait for them or cancel them" in detail


def test_a_retraining_that_waits_needs_the_task(idle: Door) -> None:
    run = idle.client.post("/v1/tasks/sport/retrain").json()["id"]
    answer = idle.client.delete("/v1/tasks/sport")
    assert answer.status_code == 409
    assert f"a retraining has not ended: {run};" in problem(answer)["detail"]
    assert idle.client.post(f"/v1/tasks/{run.replace('/', '/runs/')}/cancel").status_code == 200
    drift.count(
        idle.store.client,
        Workspace(idle.settings.home).task("sport"),
        job="job-1",
        day=date(2026, 1, 2),
        version=1,
        rows=10,
        agreed=9,
    )
    assert idle.client.delete("/v1/tasks/sport").status_code == 204
    assert RunStore(idle.store.client).of_task("sport") == []
    assert not [key for key in idle.store.client.scan_iter(f"{PREFIX}*") if "sport" in key]


def test_only_an_admin_removes_a_task(own_door: Door) -> None:
    home = own_door.settings.home
    submitter, admin = add_key(home, "sub", Role.SUBMIT), add_key(home, "chief", Role.ADMIN)
    assert own_door.client.delete("/v1/tasks/sport", headers=bearer(submitter)).status_code == 403
    assert own_door.client.delete("/v1/tasks/sport", headers=bearer(admin)).status_code == 204


def test_the_command_line_knows_the_jobs_of_a_service_that_was_stopped(own_door: Door, pingti: Run) -> None:
    settings, store = own_door.settings, own_door.store
    job = own_door.submit(tasks=["sport"]).json()["id"]
    runs = RunStore(store.client)
    night = date(2026, 1, 2)
    runs.night("tech", time(2), night)
    runs.night("tech", time(2), date(2026, 1, 3))
    runs.cancel("tech/2026-01-03")

    busy = pingti("task", "remove", "tech", "--yes", "--home", settings.home)
    assert busy.returncode == 4
    assert "a service runs on the workspace" in busy.stderr
    url = str(own_door.client.base_url)
    assert pingti("task", "remove", "topic", "--yes", "--url", url).returncode == 0
    assert Workspace(settings.home).task_names() == ["sport", "tech"]

    own_door.processes.stop(own_door.processes.latest("valkey"))
    refused = pingti("task", "remove", "sport", "--yes", "--home", settings.home)
    assert refused.returncode == 4, refused.stderr
    assert job in refused.stderr
    moved = pingti("task", "rename", "tech", "science", "--home", settings.home)
    assert moved.returncode == 0, moved.stderr
    with locked(settings.home / "valkey" / "lock", busy=lambda: pytest.fail("the server was left running")):
        pass
    assert Workspace(settings.home).task_names() == ["science", "sport"]

    own_door.processes.start_valkey(settings, port=int(str(settings.redis_url).rpartition(":")[2][:-2]))
    assert [run.id for run in runs.of_task("science")] == ["science/2026-01-03"]
    assert runs.get("science/2026-01-03").task == "science"
    assert runs.of_task("tech") == []
    assert runs.last_night("science", time(2)) == date(2026, 1, 3)

"""``pingti task``, ``promote``, ``keys`` and the command line's own manners."""

import dataclasses
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.console import Screen
from api.cli.main import EXIT_CODES
from api.cli.rounds import round_line, tell_round
from api.keys import KeyRing
from pingti import errors
from pingti.workspace import promotion
from pingti.workspace.definition import GateSection
from pingti.workspace.registry import Workspace
from replacement.evaluation.metrics import Measure
from replacement.results import Outcome, Round, StopReason
from tests.support.command_line import Run
from tests.support.dashboard import rung
from tests.support.teachers import write_kinds


def test_help_says_every_exit_code_that_an_error_has(pingti: Run) -> None:
    ran = pingti("--help")
    assert ran.returncode == 0
    text = " ".join(ran.stdout.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in text
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {kind.exit_code for kind in kinds if issubclass(kind, errors.PingtiError)} <= EXIT_CODES.keys()


def test_help_loads_neither_kernels_nor_the_service() -> None:
    code = (
        "import sys, api.cli.main\n"
        "print([name for name in ('numba', 'pyarrow', 'celery', 'fastapi', 'httpx') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_names_of_tasks_are_completed(workspace: Workspace) -> None:
    environment = {
        **os.environ,
        "_PINGTI_COMPLETE": "complete_bash",
        "COMP_WORDS": "pingti task show t",
        "COMP_CWORD": "3",
        "PINGTI_HOME": str(workspace.root),
    }
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'pingti'; from api.cli.main import main; main()",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.stdout.split() == ["tech", "topic"]


def test_a_path_that_leads_nowhere_from_the_workspace_is_refused(
    pingti: Run, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "posts.csv").write_text("text\n")
    path = tmp_path / "praise.toml"
    text = 'classes = ["no", "yes"]\n[corpus]\nfiles = ["{}"]\n[teacher]\nmodel = "hub/name"\n'
    path.write_text(text.format("posts.csv"))
    home = ("--home", workspace.root)
    ran = pingti("task", "add", path, *home)
    assert ran.returncode == 2
    assert ran.stderr.endswith("write '../../posts.csv'\n")
    assert "praise" not in workspace.task_names()
    path.write_text(text.format("../../posts.csv"))
    ran = pingti("task", "add", path, *home, "--json")
    assert (ran.returncode, json.loads(ran.stdout)["task"]) == (0, "praise")
    path.write_text(text.format("../../posts.csv") + '[gate]\nlabels = "posts.csv"\n')
    ran = pingti("task", "add", path, *home)
    assert (ran.returncode, "gate.labels" in ran.stderr) == (2, True)
    assert ran.stderr.endswith("write '../../posts.csv'\n")
    for reason, content in (("not UTF-8 at byte 0", b"\xff"), ("not valid TOML", b"a,b\n")):
        path.write_bytes(content)
        ran = pingti("task", "add", path, *home)
        assert (ran.returncode, reason in ran.stderr, len(ran.stderr.splitlines())) == (2, True, 1)


def test_all_that_is_wrong_with_a_definition_is_listed(
    pingti: Run, workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "praise.toml"
    home = ("--home", workspace.root)
    path.write_text('classes = "no"\n[corpus]\nfiles = {a = true}\n[teacher]\nmodel = 7\n')
    ran = pingti("task", "add", path, *home)
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        f"pingti: {path}: 3 faults",
        "  classes: 'no' is not allowed: needed is a list",
        "  corpus.files: {a = true} is not allowed: needed is a list",
        "  teacher.model: 7 is not allowed: input should be a valid string",
    ]
    path.write_text(
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["a.csv", "b.csv"]\n[teacher]\nmodel = "./c"\n'
    )
    ran = pingti("task", "add", path, *home)
    heads = [line.partition(": ")[0] for line in ran.stderr.splitlines()[1:]]
    assert (ran.returncode, heads) == (2, ["  corpus.files.0", "  corpus.files.1", "  teacher.model"])
    assert "praise" not in workspace.task_names()
    path.write_text("".join(f"key{number} = 1\n" for number in range(52)) + path.read_text())
    lines = pingti("task", "add", path, *home).stderr.splitlines()
    assert (len(lines), lines[-1].strip()) == (52, "and 5 more, which show when these are mended")


def test_report_and_history_of_a_task(pingti: Run, workspace: Workspace) -> None:
    home = ("--home", workspace.root)
    ran = pingti("task", "report", "sport", *home)
    assert ran.returncode == 0
    assert "sport, version 1: the gate (precision 0.90, recall 0.90) is reached" in ran.stdout
    ran = pingti("task", "report", "sport", 1, *home, "--json")
    assert json.loads(ran.stdout)["version"] == 1
    assert pingti("task", "report", "sport", 2, *home).returncode == 3
    ran = pingti("task", "history", "sport", *home, "--json")
    assert [line["event"] for line in json.loads(ran.stdout)] == ["promoted"]
    assert "made for the tests" in pingti("task", "history", "sport", *home).stdout
    ran = pingti("promote", "sport", *home, "--why", "again", "--json")
    assert json.loads(ran.stdout) == {"task": "sport", "promoted": 1}
    assert pingti("rollback", "sport", *home).returncode == 4


def test_a_report_tells_what_its_figures_rest_on(pingti: Run, workspace: Workspace) -> None:
    path = workspace.task("sport").student_folder(1) / "report.json"
    report = json.loads(path.read_text())
    validation = {**report["holdout"], "precision": 0.123, "rows": 1234, "positives": 56}
    report["rounds"] = [
        {"round": number, "holdout": report["holdout"], "calibration": {**validation, "rows": 1233 + number}}
        for number in (1, 2)
    ]
    report["kept_round"] = 1
    report["holdout_intervals"] = {"precision": [0.7, 0.85], "recall": [0.6, 0.9], "f1": [0.65, 0.88]}
    path.write_text(json.dumps(report))
    home = ("--home", workspace.root)
    lines = [" ".join(line.split()) for line in pingti("task", "report", "sport", *home).stdout.splitlines()]
    assert "precision recall F1 rows yes rows" in lines
    assert "on the holdout 1.000 1.000 1.000 300 100" in lines
    assert "on the validation rows 0.123 1.000 1.000 1,234 56" in lines
    assert sum("validation" in line for line in lines) == 1
    assert "95 % interval on the holdout: precision 0.700 to 0.850, recall 0.600 to 0.900" in lines
    assert not any("drawn again" in line for line in lines)  # it was made before that was measured
    point = {"threshold": 0.5, "holdout": None, "calibration": {**validation, "precision": 0.9}}
    report["kind"], report["scenes"] = "ngram", {"default": point}
    path.write_text(json.dumps(report))
    lines = [" ".join(line.split()) for line in pingti("task", "report", "sport", *home).stdout.splitlines()]
    assert "on the validation rows 0.900 1.000 1.000 1,234 56" in lines  # not those of the rounds' TextCNN
    report["gate"]["sure"] = 0.87
    sure = "of holdouts drawn again 87% give the same verdict (95 % intervals: precision 0.700 to 0.850, "
    for passed in (True, False):
        report["gate"]["passed"] = passed
        path.write_text(json.dumps(report))
        shown = " ".join(pingti("task", "report", "sport", *home).stdout.split())
        assert (sure in shown, "95 % interval on the holdout" in shown) == (True, False)
    shown = pingti("task", "report", "topic", *home).stdout
    assert "interval" not in shown
    assert shown.splitlines()[1].split() == ["precision", "recall", "F1", "rows"]


def test_a_report_shows_the_ladder_of_kinds(pingti: Run, workspace: Workspace) -> None:
    path = workspace.task("sport").student_folder(1) / "report.json"
    report = json.loads(path.read_text())
    home = ("--home", workspace.root)
    assert "agreement" not in pingti("task", "report", "sport", *home).stdout
    report["ladder"] = [
        rung("textcnn", 0.941, 512_345.6, kept=True),
        rung("ngram", 0.893, 2_312_345.6, passes=False),
        {"kind": "transformer", "note": "it needs the package onnxruntime"},
    ]
    path.write_text(json.dumps(report))
    ran = pingti("task", "report", "sport", *home)
    lines = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    assert "textcnn 0.941 0.970 512,346 9.0 0.0% reached kept" in lines
    assert "ngram 0.893 0.970 2,312,346 9.0 0.0% not reached" in lines
    assert "transformer: it needs the package onnxruntime" in ran.stderr


def test_a_refusal_has_a_headline_and_points(
    pingti: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workspace.task("sport").student_folder(1) / "report.json"
    report = json.loads(path.read_text())
    report["gate"]["passed"] = False
    report["holdout"] |= {"precision": 0.5, "recall": 0.4}
    clusters = [
        {"rows": 9, "covered": 0.5, "examples": [f"a text of kind {kind}, which goes on for a while, and on"]}
        for kind in range(3)
    ]
    report["clusters"] = [{**cluster, "missed": 3} for cluster in clusters]
    report["false_clusters"] = [{**cluster, "false": 4} for cluster in clusters]
    path.write_text(json.dumps(report))
    home = ("--home", workspace.root)
    headline = "precision 0.500 is below 0.900 and recall 0.400 is below 0.900"
    monkeypatch.setattr("api.cli.console._PLAIN_WIDTH", 100)
    ran = pingti("promote", "sport", *home)
    lines = ran.stderr.splitlines()
    assert ran.returncode == 5
    assert lines[0] == f"pingti: task 'sport': version 1: {headline}; force (--force) promotes it"
    assert sum(line.startswith("  - ") for line in lines) == 2
    assert all(line.startswith(("  - ", "    ")) for line in lines[1:])
    assert max(map(len, lines[1:])) <= 100
    (line,) = [line for line in workspace.task("sport").history() if line["event"] == "refused"]
    assert line["why"] == headline
    shown = pingti("task", "history", "sport", *home).stdout
    assert (headline in " ".join(shown.split()), "kind" in shown) == (True, False)
    shown = pingti("task", "report", "sport", *home).stdout
    assert headline in shown.splitlines()
    assert shown.splitlines()[2:4] == lines[1:3]


def test_a_task_without_a_version_says_what_is_next(pingti: Run, workspace: Workspace) -> None:
    entry = workspace.task("sport")
    workspace.add_task("fresh", entry.path.read_text())
    for command in (("task", "report", "fresh"), ("promote", "fresh")):
        ran = pingti(*command, "--home", workspace.root)
        assert (ran.returncode, "pingti replace fresh" in ran.stderr) == (3, True)


def _refused(measured: Measure) -> Outcome:
    """How a run ends that reaches this on the holdout, which is too little."""
    best = Round(
        round=1,
        rows=10,
        asked=20,
        added={},
        yields={},
        boundary=0,
        hard_negatives=0,
        threshold=0.5,
        validation=measured,
        holdout=measured,
        coverage=(),
    )
    report = {
        "corpus": {"bad": 7},
        "gate": {"precision": 0.9, "recall": 0.9, "passed": False},
        "holdout": dataclasses.asdict(measured),
        "kind": "textcnn",
        "scenes": {},
        "stopped": "the limit of 3 rounds is reached",
    }
    return Outcome(
        task="sport",
        version=1,
        passed=False,
        stopped=StopReason.ROUND_LIMIT,
        rounds=[best],
        best=best,
        report=report,
    )


def test_a_replacement_that_is_interrupted_or_refused_says_what_is_next(
    pingti: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = _refused(Measure(precision=0.95, recall=0.5, f1=0.655, accuracy=0.9, rows=20, positives=10))
    monkeypatch.setattr("replacement.training.loop.replace", lambda *_, **__: ended)
    ran = pingti("replace", "sport", "--home", workspace.root)
    assert ran.returncode == 5
    assert "recall 0.500 is below 0.900" in ran.stderr
    assert "pingti promote sport 1 --force" in ran.stderr
    assert "could not be read: 7; pingti corpus stats sport names them" in ran.stdout

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("replacement.training.loop.replace", interrupted)
    ran = pingti("replace", "sport", "--home", workspace.root)
    assert (ran.returncode, "pingti replace sport goes on" in ran.stderr) == (130, True)


@pytest.mark.parametrize(
    ("stopped", "ways"),
    [
        (StopReason.ROUND_LIMIT, "more rounds (gate.rounds, 5 now), a larger teacher.budget (50,000 now), "),
        (StopReason.BUDGET_SPENT, "a larger teacher.budget (50,000 now), "),
        (StopReason.NO_PROGRESS, ""),
        (StopReason.POOL_USED_UP, ""),
    ],
)
def test_the_ways_on_name_what_ended_the_run(
    pingti: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, stopped: StopReason, ways: str
) -> None:
    ended = _refused(Measure(precision=0.95, recall=0.5, f1=0.655, accuracy=0.9, rows=20, positives=10))
    ended = dataclasses.replace(ended, stopped=stopped)
    monkeypatch.setattr("replacement.training.loop.replace", lambda *_, **__: ended)
    ran = pingti("replace", "sport", "--home", workspace.root)
    assert f"the ways on are {ways}more texts, a lower gate, or pingti promote sport 1" in ran.stderr


@pytest.mark.parametrize(
    ("boundary", "added", "says"),
    [
        (5, {"random": 1000, "new": 0}, "trained on 995 of 1,000, 5 left out because the teacher itself is "
         "unsure (boundary rows) (new this round: 1,000 at random)"),
        (0, {"random": 200, "competing": 3}, "trained on 995 (new this round: 200 at random, "
         "3 where it is likely to be clearly wrong (hard negatives))"),
        (0, {}, "trained on 995"),
    ],
)  # fmt: skip
def test_the_line_of_a_round_adds_up(boundary: int, added: dict[str, int], says: str) -> None:
    measured = Measure(precision=0.9, recall=0.5, f1=0.643, accuracy=0.9, rows=100, positives=10)
    decides = dataclasses.replace(measured, precision=0.8, f1=0.615)
    best = dataclasses.replace(_refused(measured).best, validation=decides)
    line = round_line(
        dataclasses.replace(best, rows=995, asked=3000, boundary=boundary, added=added),
        2,
        GateSection(),
    )
    assert "precision 0.900  recall 0.500  F1 0.643  (validation rows: 0.800, 0.500, 0.615)" in line
    assert line.endswith(f"answers of the teacher so far: 3,000, {says}")


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        (GateSection(precision=0.85, recall=0.6), "gate not reached on holdout and validation rows"),
        (GateSection(precision=0.85, recall=0.5), "gate not reached on validation rows"),
        (GateSection(precision=0.8, recall=0.5), "gate reached on both"),
    ],
)
def test_the_line_of_a_round_says_who_is_short_of_the_gate(gate: GateSection, says: str) -> None:
    measured = Measure(precision=0.9, recall=0.5, f1=0.643, accuracy=0.9, rows=100, positives=10)
    decides = dataclasses.replace(measured, precision=0.8)
    line = round_line(dataclasses.replace(_refused(measured).best, validation=decides), 2, gate)
    assert f")  {says}  | " in line


def test_answers_that_were_all_known_are_not_told_as_asked() -> None:
    measured = Measure(precision=0.9, recall=0.5, f1=0.643, accuracy=0.9, rows=100, positives=10)
    best = _refused(measured).best
    for computed, says in ((0, "so far: 20, all known already, trained"), (3, "so far: 20, trained")):
        assert says in round_line(dataclasses.replace(best, computed=computed), 2, GateSection())


def test_the_words_of_a_round_are_explained_with_the_first() -> None:
    measured = Measure(precision=0.9, recall=0.5, f1=0.643, accuracy=0.9, rows=100, positives=10)
    best = _refused(measured).best
    lines: list[str] = []
    for number in (1, 2):
        tell_round(lines.append, dataclasses.replace(best, round=number), 2, GateSection(precision=0.8))
    assert [line.split(":")[0] for line in lines] == ["  how to read a round", "  round 1", "  round 2"]
    for word in ("holdout", "validation rows", "gate (precision 0.8, recall 0.9)"):
        assert word in lines[0]
    lines.clear()
    tell_round(lines.append, best, 2, GateSection(), legend=False)  # of a demo's second task
    assert [line.split(":")[0] for line in lines] == ["  round 1"]


def test_what_helps_most_is_told_with_its_command(
    pingti: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = _refused(Measure(precision=0.95, recall=0.5, f1=0.655, accuracy=0.9, rows=20, positives=10))
    ended.report["gate"]["advice"] = ["more days: pingti replace sport", "people's labels"]
    monkeypatch.setattr("replacement.training.loop.replace", lambda *_, **__: ended)
    ran = pingti("replace", "sport", "--home", workspace.root)
    assert "what helps most is more days: pingti replace sport; other ways on are more rounds" in ran.stderr
    assert "- what helps, too, is people's labels" in ran.stderr
    assert ran.stderr.count("more days: pingti replace sport") == 1


def test_a_missing_package_names_what_can_be_installed(
    pingti: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("replacement.training.loop.replace", missing)
    ran = pingti("replace", "sport", "--home", workspace.root)
    assert ran.returncode == 6
    assert "torch is missing: install Pingti with its extra 'teacher' (pip install '/path/to/" in ran.stderr


def test_a_slow_pace_is_not_nought(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 0.0, 20.0, 40.0))  # the first of the screen itself
    monkeypatch.setattr("api.cli.console.time.monotonic", lambda: next(clock))
    screen = Screen()
    for done in (0, 8, 1008):
        screen.advance("steps", done, 2000)
    assert "steps: 8 of 2,000, 0.4/s" in (err := capsys.readouterr().err)
    assert "steps: 1,008 of 2,000, 25/s" in err


def test_a_damaged_task_does_not_hide_the_others(pingti: Run, workspace: Workspace) -> None:
    (workspace.task("sport").student_folder(1) / "report.json").unlink()
    (workspace.tasks / "topic.toml").write_text("classes = 3\n")
    home = ("--home", workspace.root)
    ran = pingti("task", "list", *home)
    assert ran.returncode == 0
    assert all(name in ran.stdout for name in ("sport", "tech", "topic"))
    assert "sport: task 'sport': version 1 has no report" in ran.stderr
    tasks = {task["task"]: task for task in json.loads(pingti("task", "list", *home, "--json").stdout)}
    assert "topic.toml" in tasks["topic"]["fault"]
    assert tasks["tech"]["fault"] is None
    assert tasks["sport"]["promoted"] == 1
    ran = pingti("task", "show", "sport", *home)
    assert (ran.returncode, "no report" in ran.stdout) == (0, True)


def test_keys_are_made_listed_and_revoked(pingti: Run, tmp_path: Path) -> None:
    home = ("--home", tmp_path)
    ran = pingti("keys", "add", "duty", "--role", "read", *home, "--json")
    key = json.loads(ran.stdout)
    caller = KeyRing(tmp_path).caller(key["key"].encode())
    assert caller is not None
    assert (caller.name, caller.role) == ("duty", "read")
    assert pingti("keys", "add", "duty", *home).returncode == 4
    assert pingti("keys", "add", "no/name", *home).returncode == 2
    ran = pingti("keys", "list", *home)
    assert "duty" in ran.stdout
    assert key["key"] not in ran.stdout
    assert pingti("keys", "revoke", "duty", *home).returncode == 0
    assert pingti("keys", "revoke", "duty", *home).returncode == 3
    assert json.loads(pingti("keys", "list", *home, "--json").stdout) == []


@pytest.mark.parametrize("role", ["read", "submit", "admin"])
def test_the_first_key_says_that_all_need_one_now(pingti: Run, tmp_path: Path, role: str) -> None:
    home = ("--home", tmp_path)
    ran = pingti("keys", "add", "first", "--role", role, *home)
    assert "from now on every client needs one, on this machine too" in ran.stderr
    assert ("pingti keys add NAME --role admin" in ran.stderr) == (role != "admin")
    ran = pingti("keys", "add", "second", "--role", role, *home)
    assert "from now on" not in ran.stderr
    assert "--role admin" not in ran.stderr


@pytest.mark.parametrize("width", [50, 80])
def test_tables_fit_the_terminal(workspace: Workspace, width: int) -> None:
    entry = workspace.task("sport")
    promotion.promote(
        entry, 1, who="somebody", why="a reason that goes on and on, and then on again, to its end"
    )
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "api.cli.main",
        "task",
        "history",
        "sport",
        "--home",
        str(workspace.root),
    ]
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1"}
    subprocess.run(command, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    lines = [line.replace("\x1b[0m", "").replace("\x1b[1m", "") for line in shown.decode().splitlines()]
    assert max(map(len, lines)) <= width
    assert "on again" in " ".join(" ".join(lines).split())


def test_what_stands_first_is_there_to_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.out.width = 50
    rows = [["job-0660d0b55a733caec9ce", "completed", "9,000,000", "9,000,000"]]
    screen.table(["job", "status", "rows", "done"], rows)
    shown = capsys.readouterr().out
    assert rows[0][0] in shown
    assert max(map(len, shown.splitlines())) <= 50


def test_tasks_are_made_from_a_models_labels_all_or_none(
    pingti: Run, tiny_bert: Path, tmp_path: Path
) -> None:
    model = write_kinds(tmp_path / "models", tiny_bert)["multi_label"]
    corpus = tmp_path / "texts.jsonl"
    corpus.write_text('{"id": 1, "words": "a b", "seen": "2026-01-01"}\n')
    home = tmp_path / "home"
    options = ["--from-model", str(model), "--corpus", str(corpus), "--home", str(home), "--json"]
    refused = pingti("task", "add", *options)
    assert refused.returncode == errors.DefinitionError.exit_code
    assert "text" in refused.stderr  # there is no such column
    assert not list((home / "tasks").glob("*.toml"))
    ran = pingti("task", "add", *options, "--text", "words")
    assert ran.returncode == 0, ran.stderr
    assert [task["task"] for task in json.loads(ran.stdout)] == ["delivery", "taste", "price"]
    entry = Workspace(home).task("taste")
    assert (entry.definition.classes, entry.definition.teacher.label) == (("no", "yes"), "taste")
    assert (entry.path.parent / entry.definition.corpus.files[0]).samefile(corpus)
    again = pingti("task", "add", *options, "--text", "words", "--labels", "taste")
    assert again.returncode == errors.InputError.exit_code
    assert "task 'taste' is there already, and nothing was added; --prefix" in again.stderr
    told = pingti("task", "add", *options[:-1], "--text", "words", "--labels", "taste", "--prefix", "post_")
    assert "post_taste.toml: taste; next is pingti replace post_taste" in told.stdout.replace("\n", " ")
    columns = ["--text", "words", "--time", "seen", "--id", "id", "--labels", "taste=flavour", "--labels"]
    named = pingti("task", "add", *options, *columns, "price=cost")
    assert [task["task"] for task in json.loads(named.stdout)] == ["flavour", "cost"], named.stderr
    section = Workspace(home).task("flavour").definition.corpus
    assert (section.text, section.time, section.id) == ("words", "seen", "id")
    no_column = pingti("task", "add", *options, "--text", "words", "--time", "day", "--prefix", "x_")
    assert no_column.returncode == errors.DefinitionError.exit_code
    assert "no column 'day'" in no_column.stderr
    strange = pingti("task", "add", *options, "--labels", "colour")
    assert "has no label 'colour'; it has delivery, taste, price" in strange.stderr


def test_options_that_do_not_go_together_are_refused(pingti: Run, tmp_path: Path) -> None:
    for options in (
        [],
        ["--from-model", "m"],
        ["--corpus", "a.csv"],
        ["a.toml", "--from-model", "m", "--name", "x"],
        ["a.toml", "--from-model", "m", "--time", "seen"],
        ["a.toml", "--from-model", "m", "--corpus", "a.csv"],
        ["a.toml", "--labels", "a=b"],
    ):
        ran = pingti("task", "add", *options, "--home", str(tmp_path))
        assert ran.returncode == errors.InputError.exit_code, options
        assert "--from-model" in ran.stderr or "--corpus" in ran.stderr


def test_a_command_that_stands_beside_task_is_named(pingti: Run) -> None:
    ran = pingti("task", "promote", "sport")
    assert ran.returncode == 2
    assert "it is pingti promote, without 'task'" in " ".join(ran.stderr.split())
    assert "Did you mean 'list'?" in pingti("task", "lisst").stderr

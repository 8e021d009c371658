"""What the tables hold, for figures made up here."""

import json
from typing import Any

import pytest

from benchmarks.fidelity import data, methods
from benchmarks.tables import fidelity, front, services, speed, students, teachers
from benchmarks.tables.markdown import difference, percent, rate, score, table, times
from tests.support.fidelity_rows import row
from tests.support.paths import ROOT

RATES = {
    "default": 829_499.0, "default_32_labels": 437_000.0, "onnxruntime_fp32": 21_000.0,
    "linear_ngram": 45_380.0, "model2vec": 23_000.0, "fasttext": 119_000.0, "minilm_torch": 201.4,
    "bert_base": 24.4, "minilm_onnxruntime_int8": 450.0,
}  # fmt: skip


def whole(**values: float) -> dict[str, Any]:
    """A run of all tasks and seeds; F1 by method."""
    tasks = [(name, task.name) for name in data.NAMES for task in data.TASKS[name] if task.labels]
    rows = [
        row(*task, method, seed, f1, f1_truth=0.893)
        for method, f1 in values.items()
        for task in tasks
        for seed in range(fidelity.SEEDS)
    ]
    return {"rows": rows, "further": []}


COLUMNS = {
    "pingti": 0.877, "full_pool": 0.884, "breaking_ties": 0.875, "random": 0.86, "linear_ngram": 0.822,
    "fasttext": 0.792, "model2vec": 0.816,
}  # fmt: skip


def speeds(**more: float) -> dict[str, Any]:
    return {"rows": [{"name": name, "texts_per_second": value} for name, value in {**RATES, **more}.items()]}


def test_figures_are_written_as_the_pages_write_them() -> None:
    assert [score(value) for value in (0.8774, 0.9525, 1.0, 0.0)] == [".877", ".953", "1.000", ".000"]
    assert [difference(value) for value in (0.0094, -0.0131, -0.0004, 0.0)] == [
        "+.009",
        "-.013",
        ".000",
        ".000",
    ]
    assert [rate(value) for value in (829_499, 45_380, 12_649, 450.2, 99.6, 24.4)] == [
        "829,000", "45,400", "12,600", "450", "100", "24",
    ]  # fmt: skip
    assert [times(value) for value in (116.9, 39.4, 9.96, 5.62, 1.0, 0.6, 0.0214, 0.0011)] == [
        "117", "39", "10", "5.6", "1.0", "0.60", "0.02", "0.001",
    ]  # fmt: skip
    assert [percent(value) for value in (0.945, 1.0)] == ["95 %", "100 %"]
    assert table(["", "a"], [["x", "1"]]) == "| | a |\n|---|--:|\n| x | 1 |"


def test_every_task_is_a_row_and_part_of_a_run_is_none() -> None:
    document = whole(**COLUMNS)
    lines = (fidelity.by_task(document) or "").split("\n")
    assert len(lines) == 2 + 8 + 10 + 14
    assert lines[2] == "| weibo 社会 | .877 | .884 | .875 | .860 | .822 | .792 | .816 | -.007 |"
    assert any(line.startswith("| clinc150 auto and commute | ") for line in lines)
    # One seed of one task that was not measured, and the table by hand stays.
    document["rows"].pop()
    assert fidelity.by_task(document) is None
    assert front.english(document, speeds()) is None


def test_what_a_part_is_worth_is_counted_where_both_were_measured() -> None:
    lost = dict(zip(methods.ABLATIONS, (0.829, 0.86, 0.866, 0.876, 0.878), strict=True))
    text = fidelity.parts(whole(pingti=0.877, **lost)) or ""
    assert text.split("\n")[2:] == [
        "| the wide part and the start from the teacher's vectors | .048 | 32 of 32 |",
        "| the teacher's soft scores, its decisions instead | .017 | 32 of 32 |",
        "| the teacher's own labels, learned within the classes | .011 | 32 of 32 |",
        "| rows chosen after errors and for diversity | .001 | 32 of 32 |",
        "| boundary rows | -.001 | 0 of 32 |",
    ]
    del lost["no_diversity"]
    assert fidelity.parts(whole(pingti=0.877, **lost)) is None


def test_the_curve_says_how_much_it_stands_on() -> None:
    document = whole(pingti=0.877, random=0.86, full_pool=0.884)
    assert fidelity.along_the_curve(document) is None
    document["rows"] += [
        row("arxiv", "cs", method, 0, f1, share=0.05) for method, f1 in (("pingti", 0.8), ("random", 0.7))
    ]
    document["rows"] = [some for some in document["rows"] if (some["task"], some["seed"]) == ("cs", 0)]
    text = fidelity.along_the_curve(document)
    assert text == (
        "| data | F1 against the teacher, median | 5 % | 25 % | 100 % |\n"
        "|---|---|--:|--:|--:|\n"
        "| arxiv (tasks: 1, seeds: 1) | Pingti | .800 | .877 | |\n"
        "| arxiv (tasks: 1, seeds: 1) | random | .700 | .860 | |\n"
        "| arxiv (tasks: 1, seeds: 1) | all of the pool | | | .884 |"
    )


def test_families_are_told_by_data_set_with_their_worst_task() -> None:
    document = whole(own=0.88, family=0.891)
    for some in document["rows"]:
        if (some["method"], some["task"]) == ("family", "auto_and_commute"):
            some["f1_teacher"] = 0.871
    lines = (fidelity.families(document) or "").split("\n")
    assert lines[3] == "| clinc150 (tasks: 10, seeds: 3) | .880 | .891 | +.011 | -.009 (auto and commute) |"
    assert len(lines) == 2 + 3
    assert fidelity.families(whole(own=0.88)) is None


def test_all_labels_are_macro_f1() -> None:
    rows = [row("weibo", "nine", "pingti", 0, 0.777), row("weibo", "nine", "full_pool", 0, 0.797)]
    assert fidelity.all_labels({"rows": rows}) == (
        "| macro F1 against the teacher | Pingti | all of the pool |\n|---|--:|--:|\n"
        "| weibo nine | .777 | .797 |"
    )
    assert fidelity.all_labels({"rows": rows[:1]}) is None


def test_speeds_are_ratios_to_onnx_runtime() -> None:
    lines = speed.one_core(speeds()).split("\n")
    assert lines[2] == "| **student as `pingti replace` makes it** (two classes) | **829,000** | **39** |"
    assert lines[-1] == "| BERT-base in torch | 24 | 0.001 |"
    assert any(line.endswith("float32, ids ready | 21,000 | 1 |") for line in lines)
    # What was not measured has no row.
    assert not any("torch, ids ready" in line for line in lines)


def test_fifty_tasks_are_rates_of_texts() -> None:
    assert speed.many_tasks(speeds()) is None
    fifty = {"tasks_50_separate": 20e6, "tasks_50_one_pass": 25.4e6, "tasks_50_shared_trunk": 520e6}
    text = speed.many_tasks(speeds(**fifty)) or ""
    assert "(`textcnn.score_many`) | 508,000 | 1.3 |" in text
    assert "| 50 students, one after the other | 400,000 | 1 |" in text


def test_a_family_is_held_against_students_of_their_own() -> None:
    assert speed.families(speeds()) is None
    families = {
        "job": {
            "cores": 2,
            "rows_per_second": {"own": [9e3, 1e4, 1.1e4], "family": [1.2e5]},
            "times_own": 12.0,
        },
        "training": {"rows": 8000, "seconds": {"own": [5.04], "family": [6.0]}, "times_one": 1.19},
        "wanted": {"rows_per_second": 100_000, "times_own": 10, "training_times_one": 4},
    }
    assert (speed.families({"families": families}) or "").split("\n")[2:] == [
        "| a job of 50 tasks, 2 cores | 10,000 rows/s | 120,000 rows/s | 100,000 rows/s |",
        "| the same, times | 1 | 12 | 10 |",
        "| training on 8,000 rows, times that of one task | 1 (5.0 s) | 1.2 | at most 4 |",
    ]


def test_the_readmes_hold_f1_and_rates_in_their_languages() -> None:
    text = front.english(whole(**COLUMNS), speeds()) or ""
    assert "| **Pingti's student** | **.877** | **437,000 to 829,000** |" in text
    assert "| MiniLM in torch | (the teacher) | 201 |" in text
    chinese = front.chinese(whole(**COLUMNS), speeds()) or ""
    assert "| **Pingti 的学生模型** | **.877** | **437,000 到 829,000** |" in chinese
    assert [line.count("|") for line in chinese.split("\n")] == [4] * 9
    unmeasured = {"rows": [some for some in speeds()["rows"] if some["name"] != "bert_base"]}
    assert front.english(whole(**COLUMNS), unmeasured) is None


def test_kinds_of_students_are_told_of_whole_runs_alone() -> None:
    rows = [
        {
            "data": name, "task": task, "seed": seed, "kind": kind, "f1_teacher": 0.9, "agreement": 0.97,
            "texts_per_second": 100.0, "ratio_to_default": ratio, "teacher_share": share,
        }
        for name in data.NAMES
        for task in ("a", "b")
        for kind, ratio, share in (
            ("default", 1.0, 0.0), ("cascade", 0.02, 0.123), ("transformer", 0.01, 0.0),
            ("ngram", 3.456, 0.0), ("search_cheap", 2.0, 0.0), ("search_good", 0.3, 0.0),
        )
        for seed in range(students.SEEDS)
    ]  # fmt: skip
    text = students.kinds({"rows": rows}) or ""
    assert "| weibo | cascade | .900 (.900 to .900) | .970 | 0.02 | 12.3 % |" in text
    assert "| arxiv | ngram | .900 (.900 to .900) | .970 | 3.46 | 0.0 % |" in text
    assert students.kinds({"rows": rows[1:]}) is None
    assert students.kinds({"rows": [row for row in rows if row["kind"] != "ngram"]}) is None


def test_teachers_are_told_as_they_were_measured() -> None:
    document = json.loads((ROOT / "benchmarks" / "results" / "teacher.json").read_text(encoding="utf-8"))
    lines = teachers.quality(document).split("\n")
    assert len(lines) == 2 + len(document["rows"])
    assert lines[3] == "| CLINC150, 150 intents | MiniLM | 3,000 | .953 | .873 | .929 |"
    assert "4 layers of 256 | 1.7 | 2.5 | 100.0 % | 99.8 % | 0.012 |" in teachers.speed(document)


def test_the_reference_is_told_with_its_interval() -> None:
    measured = {
        "data": "thucnews", "texts": 34_788, "differ": 0, "f1_report": 0.8954, "interval": [0.88, 0.9096],
        "later": 8697, "f1_later": 0.8831,
    }  # fmt: skip
    text = teachers.reference([measured])
    assert "| THUCNews, three of 10 labels | 34,788 | 0 | .895, .880 to .910 | .883 on 8,697 |" in text


def test_the_queue_is_told_with_what_is_wanted() -> None:
    document = {
        "load": {"rows": 800_000, "jobs": 10_000, "rows_of_a_job": 10},
        "rates": {"1 task": {"plain": [720e3, 725e3, 730e3], "queue": [1.0]}},
        "ratios": {"1 task": 0.954},
        "jobs": {"accepted/s": 399.2, "finished/s": 158.0},
        "wanted": {"1 task": 0.85, "jobs accepted/s": 400, "jobs finished/s": 150},
        "waiting": {
            "urgent": {
                "shards_waiting_at_the_end": 960,
                "longest_wait_seconds": 0.214,
                "shard_seconds": 0.2301,
            },
            "turns": {"most_done_of_a_long_job": 0.02},
            "aged": {"wait_seconds": 17.43, "seconds_to_rise": 13.5},
        },
    }
    assert services.queue(document).split("\n")[2:] == [
        "| 800,000 titles, 1 task | 725,000 rows/s | 95 % | 85 % |",
        "| 10,000 jobs of 10 rows, accepted | | 399 jobs/s | 400 jobs/s |",
        "| 10,000 jobs of 10 rows, finished | | 158 jobs/s | 150 jobs/s |",
    ]
    assert services.waiting(document).split("\n")[2] == (
        "| an urgent job begins while 960 shards wait, longest of 20 | 0.21 s | a shard's 0.23 s |"
    )


@pytest.mark.parametrize(
    ("place", "cells"), [(3, "0.14 s, 0.25 s | 1.5 s"), (-1, "$0.021, $0.20 | $0.10, $2")]
)
def test_a_function_is_told_by_its_starts_events_and_cost(place: int, cells: str) -> None:
    def warm(compute: float, requests: float) -> dict[str, Any]:
        levels = {"p50": 0.14, "p99": 4.3, "max": 9.0}
        dollars = {"compute_1_gb": compute, "requests": requests, "both": compute + requests}
        return {"wall_ms": levels, "processor_ms": levels, "dollars_a_million_texts": dollars}

    cold = {"cold_start": 0.14, "longest": 0.25}
    document = {
        "cold_start_s": cold, "cold_start_files_not_cached_s": cold, "one_text": warm(0.021, 0.2),
        "100_texts": warm(0.003, 0.002), "zipped_mb": 28.1, "unpacked_mb": 63.0, "resident_mb": 61.4,
    }  # fmt: skip
    assert cells in services.serverless(document).split("\n")[place]

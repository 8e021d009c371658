"""Which runs bench-fidelity makes, and in which order."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.fidelity import data
from benchmarks.fidelity.__main__ import Step, steps


def planned(name: str = "weibo", task: str | None = None, **chosen: Any) -> list[Step]:
    part = data.Part(
        name=name, chinese=True, model=Path("model"), classes=("a",), tasks=data.TASKS[name],
        corpus=Path("corpus"), holdout_fraction=0.1, seed=[], pool=pa.array(["text"]), holdout=[],
        answers=np.zeros((0, 1), np.float32), true_labels=[],
    )  # fmt: skip
    defaults: dict[str, Any] = {"curve": False, "method": None, "share": None, "seeds": None, "quick": False}
    tasks = [some for some in part.tasks if task in (None, some.slug)]
    return list(steps(Namespace(**{**defaults, **chosen}), part, tasks))


def test_a_curve_asks_about_each_share_and_once_about_all() -> None:
    runs = planned(task="sports", curve=True, seeds=1)
    at = {method: [run.share for run in runs if run.method == method] for method in {r.method for r in runs}}
    shares = [0.025, 0.05, 0.1, 0.25]
    assert at == {
        "pingti": shares, "random": shares, "breaking_ties": shares, "family": shares, "full_pool": [1.0],
    }  # fmt: skip
    assert [run.share for run in planned(task="sports", method=["random"], share=[0.01], seeds=1)] == [0.01]


def test_a_family_is_run_once_for_all_tasks_that_answer_yes_or_no() -> None:
    runs = planned(method=["family"], seeds=2)
    assert [(run.seed, len(run.tasks)) for run in runs] == [(0, 8), (1, 8)]
    assert all(task.labels for run in runs for task in run.tasks)
    # All labels are a task of their own, for which there is no family, and nothing from before families.
    methods = {run.method for run in planned(task="nine")}
    assert methods >= {"pingti", "full_pool", "random"}
    assert not methods & {"family", "own"}


def test_seeds_follow_each_other_so_that_an_early_end_leaves_whole_ones() -> None:
    assert [run.seed for run in planned(method=["pingti"], task="games")] == [0, 1, 2]
    runs = [run.seed for run in planned(method=["pingti", "random"])]
    assert runs == sorted(runs)
    assert {run.seed for run in planned(quick=True)} == {0}

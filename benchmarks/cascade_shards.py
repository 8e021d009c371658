"""``python -m benchmarks.cascade_shards``: what a shard costs whose student asks its teacher.

Shards are classified in turns by a worker that starts a process for the teacher of each, as all did before,
and by one that keeps it. The teacher is an encoder of the size of MiniLM with weights drawn at random, the
texts are new to it, and the student is not sure of four in ten. Prints seconds by the clock, and the load.
"""

import argparse
import os
import random
import statistics
import string
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import harness
from benchmarks.chaos.cascade import TASK
from benchmarks.chaos.jobs import make_workspace
from pingti.inference.classifier import Classifier
from pingti.workspace.registry import Workspace
from queue_worker.classifying.teachers import TeacherProcess
from queue_worker.settings import Settings

_WORDS = ["goal", "match", "team", "league", "software", "chip", "market", "garden"]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="cascade_shards", description="Shards that ask a teacher.")
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--rows", type=int, default=100, help="of a shard")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pingti-shards-") as name:
        home = Path(name) / "home"
        _write_teacher(Path(name) / "teacher")
        make_workspace(home, f'[teacher]\nmodel = "{name}/teacher"\n')
        seconds = _take_turns(home, options.shards, options.rows)
    machine = harness.machine()
    load = f"load {os.getloadavg()[0]:.1f}"
    sys.stdout.write(f"{machine['processor']}, {machine['cores']} cores, {load}\n")
    for who, own in seconds.items():
        sys.stdout.write(
            f"{who}: {len(own)} shards of {options.rows} rows in {sum(own):.1f} s; median "
            f"{statistics.median(own):.2f}, first {own[0]:.2f}, last {own[-1]:.2f}\n"
        )
    return 0


def _take_turns(home: Path, shards: int, rows: int) -> dict[str, list[float]]:
    """Seconds of each shard, by who has done it."""
    rng = random.Random(0)
    settings = Settings(home=home)
    classifier = Classifier.of(Workspace(home), [TASK])
    classifier.classify(["goal"])  # compiled
    kept = TeacherProcess(settings)
    seconds: dict[str, list[float]] = {"a process a shard": [], "kept": []}
    for shard in range(shards):
        for who in sorted(seconds, reverse=shard % 2 == 1):
            process = kept if who == "kept" else TeacherProcess(settings)
            texts = [" ".join([*rng.choices(_WORDS, k=4), str(rng.random())]) for _ in range(rows)]
            begun = time.perf_counter()
            with process.asked_for(classifier.pins, lambda: None) as second:
                classifier.asking(second).classify(texts)
            if process is not kept:
                process.end()
            seconds[who].append(time.perf_counter() - begun)
    kept.end()
    return seconds


def _write_teacher(folder: Path) -> None:
    """A classifier that knows letters and digits, of two labels."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    letters = string.ascii_lowercase + string.digits + "."
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    config = BertConfig(
        vocab_size=30_522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        id2label={0: "no", 1: "yes"},
        label2id={"no": 0, "yes": 1},
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}).save_pretrained(folder)


if __name__ == "__main__":
    sys.exit(main())

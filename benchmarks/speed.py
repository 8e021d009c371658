"""``make bench``: the student beside other text classifiers, in one interleaved run on one core.

Prints a table and writes ``benchmarks/results/speed.json``. What cannot be measured here is left out and
named, with why. ``--quick`` is a small student and short turns, to see that everything runs.
"""

import os

# Before numpy and torch are imported, and for child processes too: one thread everywhere.
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
    TOKENIZERS_PARALLELISM="false",
)

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks import harness, processes
from benchmarks.harness import Contender, LeftOut, Measured
from benchmarks.texts import load_texts

RESULTS: Final = Path(__file__).parent / "results" / "speed.json"
ROWS: Final = (
    "default", "default_9_labels", "default_32_labels", "folded", "folded_wide", "torch_eager",
    "onnxruntime_fp32", "onnxruntime_int8", "fasttext",
    "linear_ngram", "model2vec", "minilm_torch", "minilm_onnxruntime_int8", "bert_base",
    "parquet_to_parquet", "csv_to_parquet", "jsonl_to_parquet", "ray", "spark", "duckdb", "polars",
    "two_processes", "tasks_50_separate", "tasks_50_one_pass",
    "tasks_50_shared_trunk", "tasks_50_own", "tasks_50_family",
)  # fmt: skip
_BASE: Final = "onnxruntime_fp32"
_RATIOS: Final = (
    ("folded", "onnxruntime_fp32"), ("folded", "fasttext"), ("folded", "model2vec"), ("folded", "bert_base"),
    ("folded_wide", "folded"), ("default", "folded"), ("default_9_labels", "default"),
    ("default_32_labels", "default"), ("default", "fasttext"), ("default", "bert_base"),
    ("parquet_to_parquet", "folded"), ("csv_to_parquet", "parquet_to_parquet"),
    ("jsonl_to_parquet", "parquet_to_parquet"), ("ray", "parquet_to_parquet"),
    ("spark", "parquet_to_parquet"),
    ("duckdb", "parquet_to_parquet"), ("polars", "parquet_to_parquet"), ("two_processes", "one_process"),
    ("tasks_50_one_pass", "tasks_50_separate"), ("tasks_50_shared_trunk", "tasks_50_separate"),
    ("tasks_50_shared_trunk", "tasks_50_one_pass"), ("tasks_50_family", "tasks_50_own"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured."""

    turns: int = 7
    seconds: float = 1.0
    """About how long a contender runs in a turn."""
    embedding: int = 128
    filters: int = 128
    wide: int = 1 << 17
    """Buckets of the wide part."""
    rows: int = 8000
    """Texts that students are trained on."""
    epochs: int = 3
    training_turns: int = 3
    job_turns: int = 3
    compared: int = 100_000
    """Texts on which folded and float32 are compared."""
    starts: int = 7
    """Fresh processes."""


QUICK: Final = Settings(
    turns=2, seconds=0.1, embedding=32, filters=32, wide=1 << 12, rows=2000, epochs=1, training_turns=1,
    job_turns=1, compared=5000, starts=2,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small student and short turns")
    parser.add_argument(
        "--out", type=Path, help=f"JSON file to write (default {RESULTS.name}; none if quick)"
    )
    arguments = parser.parse_args()
    console = Console(width=132, highlight=False)
    started = time.monotonic()
    allowed = harness.cores()
    pinned = harness.pin(allowed[0])

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.0f} s  {line}[/dim]")

    with tempfile.TemporaryDirectory() as folder, _one_sentence(parser):
        document = _run(QUICK if arguments.quick else Settings(), Path(folder), allowed, say)
    document["settings"].update({"pinned_to_one_core": pinned, "quick": arguments.quick})
    _show(console, document)
    out = arguments.out or (None if arguments.quick else RESULTS)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        console.print(f"written: {out}")


@contextlib.contextmanager
def _one_sentence(parser: argparse.ArgumentParser) -> Iterator[None]:
    try:
        yield
    except LeftOut as error:  # of the texts, without which there is no bench
        parser.error(str(error))


def _run(settings: Settings, folder: Path, allowed: list[int], say: Callable[[str], None]) -> dict[str, Any]:
    import torch

    from benchmarks import folded
    from textcnn import Architecture

    torch.set_num_threads(1)
    say("texts, vocabulary, a short training of the student")
    texts = load_texts(settings.compared)
    architecture = Architecture(embedding=settings.embedding, filters=settings.filters, widths=(2, 3, 4))
    trained = folded.make_student(texts, architecture, rows=settings.rows, epochs=settings.epochs)
    left_out: dict[str, str] = {}
    say("contenders are made ready")
    usual = folded.usual(trained, rows=settings.rows, epochs=settings.epochs)
    contenders = list(_contenders(trained, usual, settings, folder, left_out))
    measured = harness.take_turns(contenders, turns=settings.turns, seconds=settings.seconds, say=say)
    rates = {name: result.rates for name, result in measured.items()}

    say("one and two processes, memory, start")
    # Children map these files, as workers do.
    trained.student.save(folder / "student")
    array = pa.array(texts.timed)
    with pa.ipc.new_file(folder / "texts.arrow", pa.schema([("text", array.type)])) as writer:
        writer.write(pa.record_batch([array], names=["text"]))
    in_processes, memory = processes.measure_processes(
        folder / "student",
        folder / "texts.arrow",
        allowed[:2],
        turns=settings.turns,
        seconds=settings.seconds,
    )
    rates |= in_processes
    if "two_processes" not in in_processes:
        left_out["two_processes"] = "this machine gives the bench one core"
    start = processes.measure_start(
        folder / "student", folder / "texts.arrow", allowed[0], turns=settings.starts
    )
    say("a family beside students of their own: a job, training")
    families = _families(usual, settings, folder, allowed[:2], left_out)
    say("folded against float32; training")
    fidelity = folded.fidelity(trained)
    training = folded.training(
        trained, rows=settings.rows, epochs=settings.epochs, turns=settings.training_turns
    )

    medians = {name: harness.median(values) for name, values in rates.items()}
    rows = [_row(name, rates[name], medians, measured.get(name)) for name in rates]
    return {
        "format": 1,
        "machine": harness.machine(),
        "versions": harness.versions(),
        "settings": {
            "texts": texts.source,
            "different_texts": len(texts.timed),
            "mean_characters": round(sum(map(len, texts.timed)) / len(texts.timed), 1),
            "label_task": f"is it {texts.question}: no, yes",
            "student": f"embedding {settings.embedding}, {settings.filters} filters of widths 2, 3, 4, "
            f"{len(trained.vocabulary.tokens):,} tokens and {trained.vocabulary.buckets:,} buckets",
            "turns": settings.turns,
            "seconds_a_turn": settings.seconds,
        },
        "rows": sorted((row for row in rows if row["name"] in ROWS), key=lambda row: ROWS.index(row["name"])),
        "further": [row for row in rows if row["name"] not in ROWS],
        "left_out": left_out,
        "ratios": {f"{a}/{b}": medians[a] / medians[b] for a, b in _RATIOS if a in medians and b in medians},
        "fidelity": fidelity,
        "memory": memory,
        "start": start,
        "training": training,
        "families": families,
    }


def _contenders(
    trained: Any, usual: Any, settings: Settings, folder: Path, left_out: dict[str, str]
) -> Iterator[Contender]:
    """All that can be made here; the others go to ``left_out`` with why."""
    from benchmarks import engines, folded

    texts = trained.texts

    @contextlib.contextmanager
    def part(*names: str) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            left_out.update(dict.fromkeys(names, f"not there: {error}"))
        except LeftOut as error:
            left_out.update(dict.fromkeys(names, str(error)))

    yield from folded.folded(trained)
    yield folded.folded_wide(trained, settings.wide)
    yield from folded.default(usual, settings.wide)
    with part("tasks_50_separate", "tasks_50_one_pass", "tasks_50_shared_trunk"):
        yield from folded.many_tasks(trained, (10, 50))
    with part("tasks_50_own", "tasks_50_family"):
        from benchmarks import families

        yield from families.contenders(families.make(usual, settings.wide), texts)
    workspace = folded.make_workspace(trained, folder)
    yield from folded.files_to_parquet(trained, workspace, folder, copies=20)
    for name, make in engines.contenders(trained, workspace, folder, copies=20):
        with part(name):
            yield make()
    with part("torch_eager", "onnxruntime_fp32", "onnxruntime_int8"):
        from benchmarks import peers

        array = pa.array(texts.timed)
        contenders, absent = peers.same_weights(
            trained.network,
            lambda count: trained.vocabulary.encode(array.slice(0, count)),
            min(len(array), 20_000),
            folder,
        )
        left_out.update(absent)
        yield from contenders
    with part("fasttext"):
        from benchmarks import classifiers

        yield classifiers.fasttext(texts, folder)
    with part("linear_ngram"):
        from benchmarks import classifiers

        yield classifiers.linear_ngram(texts)
    with part("model2vec"):
        from benchmarks import classifiers

        yield classifiers.model2vec(texts, trained.vocabulary)
    with part("minilm_torch", "minilm_onnxruntime_int8"):
        from benchmarks import classifiers

        contenders, absent = classifiers.minilm(texts, folder)
        left_out.update(absent)
        yield from contenders
    with part("bert_base"):
        from benchmarks import classifiers

        yield classifiers.bert_base(texts)


def _families(
    usual: Any, settings: Settings, folder: Path, cores: list[int], left_out: dict[str, str]
) -> dict[str, Any]:
    """A job of 50 tasks and a training, in both ways; empty where students cannot be read off one network."""
    try:
        from benchmarks import families
    except ImportError as error:
        left_out["families"] = f"not there: {error}"
        return {}
    job = families.job(
        families.make(usual, settings.wide), usual.texts, folder, cores, turns=settings.job_turns
    )
    training = families.training(
        usual,
        rows=settings.rows,
        epochs=settings.epochs,
        buckets=settings.wide,
        turns=settings.training_turns,
    )
    return {"job": job, "training": training, "wanted": families.WANTED}


def _row(
    name: str, rates: list[float], medians: dict[str, float], measured: Measured | None
) -> dict[str, Any]:
    return {
        "name": name,
        "texts_per_second": medians[name],
        "ratio_to_onnxruntime_fp32": medians[name] / medians[_BASE] if _BASE in medians else None,
        "unit": measured.unit if measured else "texts/s",
        "lowest": min(rates),
        "highest": max(rates),
        "what": measured.contender.what if measured else "a core each, Arrow array to labels",
    }


def _show(console: Console, document: dict[str, Any]) -> None:
    machine, settings = document["machine"], document["settings"]
    console.print()
    console.print(
        f"{machine['processor']}, {machine['cores']} cores, {' '.join(machine['vector_extensions'])}, "
        f"{machine['system']} {machine['architecture']}"
    )
    console.print(", ".join(f"{name} {version}" for name, version in document["versions"].items()))
    console.print(
        f"{settings['different_texts']:,} {settings['texts']}, "
        f"{settings['mean_characters']} characters each; "
        f"{settings['label_task']}. Student: {settings['student']}. One core, medians of "
        f"{settings['turns']} turns of about {settings['seconds_a_turn']} s."
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("per second", "lowest", "highest", "x ORT fp32"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what runs", no_wrap=True)
    for row in [*document["rows"], *document["further"]]:
        ratio = row["ratio_to_onnxruntime_fp32"]
        table.add_row(
            row["name"],
            *(f"{row[key]:,.0f}" for key in ("texts_per_second", "lowest", "highest")),
            "" if ratio is None else f"{ratio:,.3g}" if ratio < 10 else f"{ratio:,.0f}",
            row["what"] if row["unit"] == "texts/s" else f"{row['unit']}: {row['what']}",
        )
    console.print(table)
    for name, why in document["left_out"].items():
        console.print(f"left out: {name}: {why}")
    console.print()
    for name, ratio in document["ratios"].items():
        console.print(f"{name:45} {ratio:10,.2f}")
    fidelity, training = document["fidelity"], document["training"]
    console.print(
        f"\nagainst float32 on {fidelity['texts']:,} texts: largest probability difference "
        f"{fidelity['largest_probability_difference']:.5f}, equal decisions {fidelity['equal_decisions']:.4%}"
    )
    console.print(
        f"training: {training['texts_per_second']:,.0f} texts/s, plain Conv1d loop "
        f"{training['plain_conv1d_texts_per_second']:,.0f}: x {training['ratio']:.2f}; F1 after "
        f"{training['epochs']} epochs of {training['rows']:,} rows {training['f1']:.3f}, "
        f"plain {training['plain_conv1d_f1']:.3f}"
    )
    if document["families"]:
        _show_families(console, document["families"])
    console.print("start: " + ", ".join(f"{name} {value:,.0f}" for name, value in document["start"].items()))
    console.print(f"memory: {json.dumps(_rounded(document['memory']))}")


def _show_families(console: Console, families: dict[str, Any]) -> None:
    job, training, wanted = families["job"], families["training"], families["wanted"]
    own, family = (harness.median(job["rows_per_second"][way]) for way in ("own", "family"))
    for met, claim, numbers in (
        (
            family >= wanted["rows_per_second"],
            f"a job of 50 tasks of a family: {wanted['rows_per_second']:,} rows/s on two cores",
            f"{family:,.0f} on {job['cores']}",
        ),
        (
            job["times_own"] >= wanted["times_own"],
            f"{wanted['times_own']} times the rate of 50 students of their own",
            f"{own:,.0f} rows/s, x {job['times_own']:.1f}",
        ),
        (
            training["times_one"] <= wanted["training_times_one"],
            f"training of 50 tasks at most {wanted['training_times_one']} times that of one",
            f"x {training['times_one']:.2f}",
        ),
    ):
        console.print(f"{'yes' if met else 'no ':4} {claim}: {numbers}")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 1) if isinstance(value, float) else value


if __name__ == "__main__":
    main()

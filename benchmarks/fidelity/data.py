"""The data sets of ``make bench-fidelity``: seed, pool, holdout, true labels, and a teacher for each."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.harness import LeftOut

SHARED: Final = Path(__file__).resolve().parents[3] / "shared"
OTHER: Final = "other"
MAX_LENGTH: Final = 64
"""Word pieces that a teacher reads."""
INTENTS: Final = {
    "banking": "transfer transactions balance freeze_account pay_bill bill_balance bill_due interest_rate "
    "routing min_payment order_checks pin_change report_fraud account_blocked spending_history",
    "credit_cards": "credit_score report_lost_card credit_limit rewards_balance new_card application_status "
    "card_declined international_fees apr redeem_rewards credit_limit_change damaged_card "
    "replacement_card_duration improve_credit_score expiration_date",
    "kitchen_and_dining": "recipe restaurant_reviews calories nutrition_info restaurant_suggestion "
    "ingredients_list ingredient_substitution cook_time food_last meal_suggestion restaurant_reservation "
    "confirm_reservation how_busy cancel_reservation accept_reservations",
    "travel": "plug_type travel_notification translate flight_status international_visa timezone "
    "exchange_rate travel_suggestion travel_alert vaccines lost_luggage book_flight book_hotel carry_on "
    "car_rental",
    "small_talk": "greeting goodbye tell_joke where_are_you_from how_old_are_you what_is_your_name "
    "who_made_you thank_you what_can_i_ask_you what_are_your_hobbies do_you_have_pets are_you_a_bot "
    "meaning_of_life who_do_you_work_for fun_fact",
    "home": "shopping_list shopping_list_update next_song play_music update_playlist todo_list "
    "todo_list_update calendar calendar_update what_song order order_status reminder reminder_update "
    "smart_home",
    "auto_and_commute": "traffic directions gas gas_type distance current_location mpg oil_change_when "
    "oil_change_how jump_start uber schedule_maintenance last_maintenance tire_pressure tire_change",
    "utility": "weather alarm date find_phone share_location timer make_call calculator definition spelling "
    "flip_coin roll_dice text measurement_conversion time",
    "work": "direct_deposit pto_request taxes payday w2 pto_balance pto_request_status next_holiday "
    "insurance insurance_change schedule_meeting pto_used meeting_schedule rollover_401k income",
    "meta": "change_ai_name change_user_name cancel user_name reset_settings whisper_mode repeat no yes "
    "maybe change_language change_accent change_volume change_speed sync_device",
}
"""CLINC150's ten domains (Larson et al. 2019, table 1): 15 intents each."""
ARCHIVES: Final = (
    "cs", "math", "quant-ph", "astro-ph", "cond-mat", "hep-ph", "hep-th", "math-ph", "nlin", "physics",
    "q-bio", "q-fin", "stat", OTHER,
)  # fmt: skip
"""Labels of arXiv's teacher: archives of at least 1 % of the titles; all smaller ones are one label."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """At most so many rows of each kind are taken, drawn at random; None takes all."""

    teacher: int
    """Labelled rows that MiniLM is fine-tuned on, with their own labels, none of them in the pool."""
    seed: int
    """Those of them that a method starts with."""
    pool: int | None
    holdout: int
    """Rows that measure: the teacher scores them for the bench, not for any method."""
    epochs: int = 5
    """Of MiniLM's fine-tuning, at most."""


SIZES: Final = {
    "weibo": Sizes(teacher=3000, seed=3000, pool=None, holdout=10_000),
    "clinc150": Sizes(teacher=3000, seed=800, pool=None, holdout=4500, epochs=12),
    "arxiv": Sizes(teacher=6000, seed=3000, pool=60_000, holdout=6000),
}
QUICK: Final = Sizes(teacher=240, seed=240, pool=2400, holdout=400)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question that is asked of a data set."""

    name: str
    slug: str
    """The name in a-z, as a workspace wants it."""
    labels: frozenset[str] = frozenset()
    """The teacher's labels that are a yes; none: all of its labels are the classes."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a data set's reader gives."""

    labelled: list[tuple[str, str]]
    """Texts with true labels, none of them in the pool."""
    pool: list[str]
    holdout: list[str]
    true_labels: dict[str, str]
    """True labels, as far as they are known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A data set that is ready: files written, teacher there, holdout scored."""

    name: str
    chinese: bool
    model: Path
    """The teacher's folder."""
    classes: tuple[str, ...]
    """The teacher's labels, in its order."""
    tasks: tuple[Task, ...]
    corpus: Path
    """Parquet file: the pool's rows, then the holdout's."""
    holdout_fraction: float
    seed: list[tuple[str, str]]
    """Labelled texts that a method starts with, in random order."""
    pool: pa.Array
    """Texts that may be learned from, each once: what the product makes of the corpus."""
    holdout: list[str]
    answers: NDArray[np.float32]
    """(holdout, labels): the teacher's probabilities."""
    true_labels: list[str | None]
    """True labels of the holdout."""

    def seed_of(self, share: float) -> list[tuple[str, str]]:
        """As large a part of the labelled texts as ``share`` is of a quarter of the pool; at most all.

        They count among the rows that the teacher is asked about, and must not be all of them.
        """
        return self.seed[: round(len(self.seed) * min(1.0, share / 0.25))]

    def names(self, task: Task) -> tuple[str, ...]:
        """The classes of a task."""
        return ("no", "yes") if task.labels else self.classes

    def reference(self, task: Task) -> NDArray[np.int64]:
        """The teacher's class of each row of the holdout: that of its likeliest label."""
        likeliest: NDArray[np.int64] = self.answers.argmax(axis=1)
        if not task.labels:
            return likeliest
        positive = np.array([name in task.labels for name in self.classes])
        return positive[likeliest].astype(np.int64)

    def known(self, task: Task) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the holdout whose true label is known, and their true classes."""
        rows = np.array([row for row, label in enumerate(self.true_labels) if label is not None], np.int64)
        labels = [str(self.true_labels[row]) for row in rows.tolist()]
        if not task.labels:
            return rows, np.array([self.classes.index(label) for label in labels], np.int64)
        return rows, np.array([label in task.labels for label in labels], np.int64)


def prepare(
    name: str, workspace: Path, sizes: Sizes, *, pool: int | None, say: Callable[[str], None]
) -> Part:
    """Read a data set, write its corpus, and have its holdout scored.

    ``pool`` takes fewer rows than ``sizes`` says.

    Raises:
        LeftOut: data or teacher are not on this machine.
    """
    from pingti.workspace.definition import CorpusSection, Definition, GateSection, TeacherSection
    from replacement.training.dataset import load_corpus
    from teacher.bert import describe
    from teacher.cache import CachedTeacher

    say(f"{name}: reading")
    rng = np.random.default_rng([0, *name.encode()])
    most = min(value for value in (sizes.pool, pool, 1 << 60) if value is not None)
    rows = _READERS[name](sizes, most, rng)
    seed = _draw(rows.labelled, sizes.seed, rng)
    # In an order of its own: what else is drawn from ``rng`` stays as it was.
    order = np.random.default_rng([1, *name.encode()]).permutation(len(seed))
    seed = [seed[row] for row in order.tolist()]
    corpus = workspace / "data" / f"{name}.parquet"
    corpus.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": pa.array([*rows.pool, *rows.holdout], pa.large_string())}), corpus)
    fraction = len(rows.holdout) / (len(rows.pool) + len(rows.holdout))
    if name == "weibo":
        model = SHARED / "models" / "weibo-teacher-zh"
        if not model.is_dir():
            raise LeftOut(f"{model}: no such folder")
    else:
        model = _fine_tuned(workspace / "models" / name, rows.labelled, epochs=sizes.epochs, say=say)
    definition = Definition(
        classes=("no", "yes"),
        corpus=CorpusSection(files=(str(corpus),)),
        teacher=TeacherSection(model=str(model)),
        gate=GateSection(holdout_fraction=fraction),
    )
    loaded = load_corpus(definition, corpus.parent, apart=[text for text, _ in seed])
    holdout: list[str] = loaded.texts.take(pa.array(loaded.holdout)).to_pylist()
    teacher = CachedTeacher.open(describe(str(model), max_length=MAX_LENGTH), workspace / "teachers")
    say(f"{name}: teacher on {len(holdout):,} rows of the holdout; the pool has {len(loaded.pool):,}")
    scored = teacher.score(holdout)
    return Part(
        name=name,
        chinese=name == "weibo",
        model=model,
        classes=teacher.labels,
        tasks=TASKS[name],
        corpus=corpus,
        holdout_fraction=fraction,
        seed=seed,
        pool=loaded.texts.take(pa.array(loaded.pool)),
        holdout=holdout,
        answers=scored.probabilities,
        true_labels=[rows.true_labels.get(text) for text in holdout],
    )


def minilm() -> Path:
    """The encoder that English teachers are made from.

    Raises:
        LeftOut: its package is not installed.
    """
    from benchmarks.classifiers import minilm_folder

    return minilm_folder()


def _fine_tuned(
    folder: Path,
    labelled: list[tuple[str, str]],
    *,
    epochs: int,
    say: Callable[[str], None],
) -> Path:
    """MiniLM, fine-tuned once on labelled rows; kept with the texts that it has seen."""
    from teacher.finetune import Recipe, fine_tune

    made_from = folder.with_suffix(".json")
    recipe = json.dumps([labelled, epochs], ensure_ascii=False)
    if folder.is_dir() and made_from.is_file() and made_from.read_text(encoding="utf-8") == recipe:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    say(f"{folder.name}: fine-tuning MiniLM on {len(labelled):,} rows, {epochs} epochs")
    fine_tune(
        str(minilm()),
        [text for text, _ in labelled],
        [label for _, label in labelled],
        classes=sorted({label for _, label in labelled}),
        out=folder,
        rng=np.random.default_rng(0),
        recipe=Recipe(epochs=epochs, max_length=MAX_LENGTH),
    )
    made_from.write_text(recipe, encoding="utf-8")
    return folder


# ---- readers ----------------------------------------------------------------------------------------


def _file(folder: str, name: str) -> Path:
    path = SHARED / "data" / folder / name
    if not path.is_file():
        raise LeftOut(f"{path}: no such file")
    return path


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _draw(rows: list[Any], count: int, rng: np.random.Generator) -> list[Any]:
    """``count`` of the rows, or all where there are fewer; their order stays."""
    return [rows[row] for row in np.sort(rng.permutation(len(rows))[:count]).tolist()]


def _weibo(sizes: Sizes, pool: int, rng: np.random.Generator) -> Rows:
    """Titles by the day of their first sighting; the labelled ones are of 2024."""
    rows = _lines(_file("weibo_hot", "weibo_hot.jsonl.gz"))
    named = {task.name for task in _WEIBO}
    true_labels = {
        row["text"]: row["label"] if row["label"] in named else OTHER for row in rows if row["label"]
    }
    older = [row["text"] for row in rows if row["label"] and row["timestamp"][:4] == "2024"]
    labelled = _draw(older, sizes.teacher, rng)
    months = {row["text"]: row["timestamp"][:7] for row in rows}
    return Rows(
        labelled=[(text, true_labels[text]) for text in labelled],
        pool=_draw([text for text, month in months.items() if "2025-01" <= month <= "2025-10"], pool, rng),
        holdout=_draw([text for text, month in months.items() if month >= "2025-11"], sizes.holdout, rng),
        true_labels=true_labels,
    )


def _clinc150(sizes: Sizes, pool: int, rng: np.random.Generator) -> Rows:
    """Training and validation parts are seed and pool, the test part the holdout.

    The queries of no intent are left out: they are 1 % of the former and 18 % of the latter, and what a
    teacher that has seen so few of them says of them is chance.
    """
    rows = [
        row
        for row in _lines(_file("clinc150", "clinc150_full.jsonl.gz"))
        if not row["split"].startswith("oos")
    ]
    true_labels = {row["text"]: row["label"] for row in rows}
    older = [row["text"] for row in rows if row["split"] != "test"]
    older = [older[row] for row in rng.permutation(len(older)).tolist()]
    labelled, older = _labelled(older, true_labels, sizes.teacher, rng)
    newest = [row["text"] for row in rows if row["split"] == "test"]
    return Rows(
        labelled=labelled,
        pool=_draw(older, pool, rng),
        holdout=_draw(newest, sizes.holdout, rng),
        true_labels=true_labels,
    )


def _arxiv(sizes: Sizes, pool: int, rng: np.random.Generator) -> Rows:
    """Titles by the day of their first version; the archive of the primary category is the label."""
    with gzip.open(_file("arxiv_titles", "arxiv_titles.tsv.gz"), "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    true_labels = {row["text"]: row["label"].split(".")[0] for row in rows}
    true_labels = {text: archive if archive in ARCHIVES else OTHER for text, archive in true_labels.items()}
    years = {row["text"]: row["timestamp"][:4] for row in rows}
    older = [text for text, year in years.items() if year <= "2016"]
    labelled, older = _labelled(older, true_labels, sizes.teacher, rng)
    newest = [text for text, year in years.items() if year in ("2017", "2018")]
    return Rows(
        labelled=labelled,
        pool=_draw(older, pool, rng),
        holdout=_draw(newest, sizes.holdout, rng),
        true_labels=true_labels,
    )


def _labelled(
    texts: list[str], true_labels: dict[str, str], count: int, rng: np.random.Generator
) -> tuple[list[tuple[str, str]], list[str]]:
    """Labelled rows, half of them at random and half evenly from the labels; and the texts that are left."""
    chosen = set(_draw(texts, count // 2, rng))
    labels = sorted({true_labels[text] for text in texts})
    for label in labels:
        members = [text for text in texts if true_labels[text] == label and text not in chosen]
        chosen.update(_draw(members, count // 2 // len(labels), rng))
    left = [text for text in texts if text not in chosen]
    return [(text, true_labels[text]) for text in dict.fromkeys(texts) if text in chosen], left


_WEIBO: Final = (
    Task(name="社会", slug="society", labels=frozenset({"社会"})),
    Task(name="明星", slug="stars", labels=frozenset({"明星"})),
    Task(name="体育", slug="sports", labels=frozenset({"体育"})),
    Task(name="电视剧", slug="drama", labels=frozenset({"电视剧"})),
    Task(name="时事", slug="current_affairs", labels=frozenset({"时事"})),
    Task(name="综艺", slug="variety", labels=frozenset({"综艺"})),
    Task(name="财经", slug="finance", labels=frozenset({"财经"})),
    Task(name="游戏", slug="games", labels=frozenset({"游戏"})),
    Task(name="nine", slug="nine"),
)
_CLINC150: Final = (
    *(Task(name=name, slug=name, labels=frozenset(intents.split())) for name, intents in INTENTS.items()),
    Task(name="150 intents", slug="intents"),
)
_ARXIV: Final = tuple(
    Task(name=archive, slug=archive.replace("-", "_"), labels=frozenset({archive})) for archive in ARCHIVES
)
TASKS: Final = {"weibo": _WEIBO, "clinc150": _CLINC150, "arxiv": _ARXIV}
"""The tasks of each data set."""
_READERS: Final[dict[str, Callable[[Sizes, int, np.random.Generator], Rows]]] = {
    "weibo": _weibo,
    "clinc150": _clinc150,
    "arxiv": _arxiv,
}
NAMES: Final = tuple(TASKS)
ALL_LABELS: Final = frozenset(
    (name, task.name) for name, tasks in TASKS.items() for task in tasks if not task.labels
)
"""Tasks whose classes are all labels of their teacher: measured by macro F1."""

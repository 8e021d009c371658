import itertools
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingti.errors import ConflictError, DefinitionError, InputError
from pingti.inference.pins import Choice, pin
from pingti.workspace import promotion
from pingti.workspace.definition import parse
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.training.dataset import Corpus, load_corpus, where_parents_hold
from textcnn import Student

START = datetime(2025, 3, 1, tzinfo=UTC)
Row = tuple[str, float]
"""Text, and days since the start."""


def split(
    folder: Path, rows: list[Row], sections: str = "", *, timed: bool = True, apart: list[str] | None = None
) -> Corpus:
    """The split of a corpus in two files, the newer rows in the first."""
    lines = [
        json.dumps({"id": f"r{i}", "text": text, "at": (START + timedelta(days=day)).isoformat()}) + "\n"
        for i, (text, day) in enumerate(rows)
    ]
    half = len(lines) // 2
    (folder / "b.jsonl").write_text("".join(lines[:half]))
    (folder / "a.jsonl").write_text("".join(lines[half:]))
    time = 'time = "at"' if timed else ""
    text = f"""
        classes = ["no", "yes"]
        [corpus]
        files = ["b.jsonl", "a.jsonl"]
        id = "id"
        {time}
        [teacher]
        model = "m"
        {sections}
    """
    return load_corpus(parse(text), folder, apart=apart)


def ids(corpus: Corpus, rows: np.ndarray) -> list[int]:
    return [int(corpus.ids[row].as_py()[1:]) for row in rows.tolist()]


def words(n: int, start: int = 0) -> list[str]:
    return [f"text {i}" for i in range(start, start + n)]


def test_the_newest_days_are_held_out_and_a_row_exactly_so_old_is_not(tmp_path: Path) -> None:
    days = [9.0, 8.0, 7.0, 6.9, 6.0, 10.0, 9.9, 8.5, 7.5, 5.0] * 5
    corpus = split(tmp_path, list(zip(words(50), days, strict=True)), "[gate]\nholdout_days = 3.0")
    assert {days[i] for i in ids(corpus, corpus.holdout)} == {10.0, 9.9, 9.0, 8.5, 8.0, 7.5}
    assert {days[i] for i in ids(corpus, corpus.pool)} == {7.0, 6.9, 6.0, 5.0}
    # In order of time; rows of one time stay in the order of the files.
    for rows in (corpus.pool, corpus.holdout):
        assert ids(corpus, rows) == sorted(ids(corpus, rows), key=lambda i: (days[i], i))


def test_without_times_the_last_part_of_the_rows_is_held_out(tmp_path: Path) -> None:
    rows = [(text, 0.0) for text in words(60)]
    corpus = split(tmp_path, rows, "[gate]\nholdout_fraction = 0.3", timed=False)
    assert ids(corpus, corpus.pool) == list(range(42))
    assert ids(corpus, corpus.holdout) == list(range(42, 60))


@pytest.mark.parametrize(
    "variant",
    [
        "Guten Tag",
        "GUTEN TAG",
        "  guten\ttag\n",
        "guten\u3000tag",
        "\u00a0guten \u00a0 tag",
        "guten\vtag\u0085",
    ],
)
def test_a_text_that_differs_in_case_or_white_space_is_the_same_text(tmp_path: Path, variant: str) -> None:
    old = [(text, 0.0) for text in words(20)]
    new = [(text, 9.0) for text in words(20, 100)]
    held = split(tmp_path, [(variant, 0.0), *old, *new, ("Guten Tag", 9.0)])
    assert ids(held, held.pool) == list(range(1, 21))
    assert held.counts["duplicates"] == 1
    twice = split(tmp_path, [("guten tag", 0.0), (variant, 0.0), *old, *new])
    assert ids(twice, twice.pool) == [0, *range(2, 22)]  # the first of them stays
    apart = split(tmp_path, [("guten tag", 0.0), *old, *new, ("guten  tag", 9.0)], apart=[variant])
    assert ids(apart, apart.pool) == list(range(1, 21))
    assert ids(apart, apart.holdout) == list(range(21, 41))
    assert (apart.counts["labelled"], apart.counts["labelled_in_holdout"]) == (1, 1)


def test_texts_that_differ_in_anything_else_stay_apart(tmp_path: Path) -> None:
    kinds = ["guten tag", "gutentag", "guten-tag", "guten tag!", "guten täg", "好", "好。", "", "."]
    rows = [(text, 0.0) for text in [*kinds, *words(9)]] + [(text, 9.0) for text in words(20, 100)]
    corpus = split(tmp_path, rows)
    assert len(corpus.pool) == 18
    assert corpus.counts["duplicates"] == 0


def test_rules_take_rows_out_before_the_split_and_drop_goes_first(tmp_path: Path) -> None:
    rows = [(text, 0.0) for text in words(20)] + [(text, 9.0) for text in words(20, 100)]
    ruled = [("  ", 0.0), ("[x][y]", 1.0), ("[spam]", 9.0), ("[x]", 30.0), ("text [x]", 9.0)]
    rules = "[rules]\ndrop = ['^\\s*$', 'spam']\nnegative = ['^(\\[[^\\]]+\\])+$']"
    corpus = split(tmp_path, rows + ruled, rules)
    assert (corpus.counts["dropped"], corpus.counts["negative_by_rule"]) == (2, 2)
    # Day 30 is of a row that a rule decides: the newest week ends with day 9.
    assert ids(corpus, corpus.pool) == list(range(20))
    assert ids(corpus, corpus.holdout) == [*range(20, 40), 44]


def test_bad_rows_are_counted_and_are_in_neither_part(tmp_path: Path) -> None:
    rows = [(text, 0.0) for text in words(20)] + [(text, 9.0) for text in words(20, 100)]
    lines = [json.dumps({"id": f"r{i}", "text": t, "at": d * 86_400}) for i, (t, d) in enumerate(rows)]
    lines[3], lines[33] = '{"id": "r3"', lines[33].replace('"text 113"', "null")
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    text = 'classes = ["no", "yes"]\n[corpus]\nfiles = ["c.jsonl"]\nid = "id"\ntime = "at"\n'
    corpus = load_corpus(parse(text + '[teacher]\nmodel = "m"'), tmp_path)
    assert (corpus.counts["read"], corpus.counts["bad"]) == (40, 2)
    assert {3, 33}.isdisjoint(ids(corpus, corpus.pool) + ids(corpus, corpus.holdout))
    assert len(corpus.pool) == len(corpus.holdout) == 19


TEXTS = st.sampled_from([*words(6), "TEXT 1", " text  2", "text\u30003", "[x]", "drop me", ""])


@given(
    st.lists(st.tuples(TEXTS, st.integers(0, 12).map(float)), max_size=60),
    st.lists(TEXTS, max_size=3),
    st.booleans(),
)
def test_the_counts_add_up_and_no_text_is_on_both_sides(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], apart: list[str], timed: bool
) -> None:
    # So many rows that are what they are that the corpus is never too small.
    rows = [(text, 0.0) for text in words(10, 50)] + rows + [(text, 12.0) for text in words(10, 80)]
    rules = "[rules]\ndrop = ['drop']\nnegative = ['^\\[x\\]$']\n[gate]\nholdout_fraction = 0.5"
    corpus = split(tmp_path_factory.mktemp("split"), rows, rules, timed=timed, apart=apart)
    counts = dict(corpus.counts)
    assert counts.pop("read") == len(rows) == sum(counts.values())
    assert counts["pool"] == len(corpus.pool)
    assert counts["holdout"] == len(corpus.holdout)

    def norm(text: str) -> str:
        return " ".join(text.split()).lower()

    pool, holdout = ([norm(rows[i][0]) for i in ids(corpus, part)] for part in (corpus.pool, corpus.holdout))
    assert len(set(pool)) == len(pool)
    assert set(pool).isdisjoint(holdout)
    assert {norm(text) for text in apart}.isdisjoint(pool + holdout)
    if timed:
        oldest_held = min(rows[i][1] for i in ids(corpus, corpus.holdout))
        assert all(rows[i][1] < oldest_held for i in ids(corpus, corpus.pool))
    else:
        assert max(ids(corpus, corpus.pool)) < min(ids(corpus, corpus.holdout))


@pytest.mark.parametrize(("old", "new"), [(9, 30), (30, 9), (0, 30)])
def test_a_corpus_too_small_to_be_split_is_refused(tmp_path: Path, old: int, new: int) -> None:
    numbered = itertools.count()
    rows = [(f"text {next(numbered)}", day) for day, n in ((0.0, old), (9.0, new)) for _ in range(n)]
    with pytest.raises(InputError, match=rf"{old} rows to learn from and {new} held out of {old + new} read"):
        split(tmp_path, rows)
    with pytest.raises(InputError, match=rf"0 rows to learn from and 0 held out of {old + new} read"):
        split(tmp_path, rows, "[rules]\ndrop = ['text']")


def test_a_corpus_of_few_distinct_texts_is_told_so(tmp_path: Path) -> None:
    says = "0 rows to learn from and 2 held out of 20 read; .*; 18 rows repeat the text of another"
    with pytest.raises(InputError, match=says):
        split(tmp_path, [("a goal", 0.0), ("a chip", 0.0)] * 10, timed=False)


def test_keep_leaves_rows_out_of_both_parts_and_says_how_many(tmp_path: Path) -> None:
    corpus = split(
        tmp_path, [(text, 0.0) for text in words(60)], "[gate]\nholdout_fraction = 0.5", timed=False
    )
    kept = corpus.keep(np.arange(60) % 3 > 0)
    assert ids(kept, kept.pool) == [i for i in range(30) if i % 3]
    assert ids(kept, kept.holdout) == [i for i in range(30, 60) if i % 3]
    assert (kept.counts["not_asked"], kept.counts["pool"], kept.counts["holdout"]) == (20, 20, 20)
    with pytest.raises(InputError, match="20 rows to learn from and 4 held out of 60 read"):
        kept.keep(np.arange(60) < 37)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "1", "at": "03/01/2025"}, "field 'at' is '03/01/2025'; needed is a timestamp"),
        ({"id": [1], "at": "2025-03-01"}, "field 'id' is of type list; a string is needed"),
    ],
)
def test_a_corpus_that_cannot_be_read_says_why(tmp_path: Path, row: dict[str, object], reason: str) -> None:
    good = [{"text": f"text {i}", "id": str(i), "at": "2025-02-01"} for i in range(20)]
    bad = [{"text": f"text {i}", **row} for i in range(30)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*good, *bad]))
    files = 'files = ["*.jsonl"]\nid = "id"\ntime = "at"'
    definition = parse(f'classes = ["no", "yes"]\n[corpus]\n{files}\n[teacher]\nmodel = "m"\n')
    with pytest.raises(
        InputError, match=rf"20 held out of 50 read.*; 30 could not .*a\.jsonl row 20: {reason}"
    ):
        load_corpus(definition, tmp_path)


def dependent(workspace: Workspace, name: str, depends_on: list[str]) -> TaskEntry:
    """A task like sport, over a corpus of its own, that depends on others."""
    (workspace.root / "corpus.jsonl").write_text(
        "".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(words(200)))
    )
    text = workspace.task("sport").path.read_text()
    return workspace.add_task(name, f"depends_on = {json.dumps(depends_on)}\n{text}")


def version_2(workspace: Workspace, task: str, *, classes: list[str], depends_on: list[str]) -> TaskEntry:
    """A further version, not promoted, with other classes and dependencies."""
    entry = workspace.task(task)
    first, folder = entry.student_folder(1), entry.folder / "students" / "2"
    student = Student.load(first)
    metadata = {**student.metadata, "version": 2, "depends_on": depends_on}
    Student(student.folded, student.vocabulary, classes, student.architecture, metadata).save(folder)
    shutil.copy(first / "report.json", folder)
    return entry


@pytest.mark.parametrize("depends_on", [["tech=yes"], ["match=yes"]])
def test_a_dependency_that_leads_back_to_the_task_is_told(
    workspace: Workspace, depends_on: list[str]
) -> None:
    promotion.promote(
        version_2(workspace, "tech", classes=["no", "yes"], depends_on=["match=yes"]), 2, why="test"
    )
    entry = dependent(workspace, "match", depends_on)
    way = "match -> tech -> match" if depends_on == ["tech=yes"] else "match -> match"
    with pytest.raises(DefinitionError, match=f"depends_on: a circle by the versions promoted now: {way};"):
        where_parents_hold(entry, load_corpus(entry.definition, entry.path.parent))


def test_no_promotion_and_no_roll_back_closes_a_circle(workspace: Workspace) -> None:
    classes = ["no", "yes"]
    sport = version_2(workspace, "sport", classes=classes, depends_on=["tech=yes"])
    promotion.promote(sport, 2, why="test")
    tech = version_2(workspace, "tech", classes=classes, depends_on=["sport=yes"])
    for force in (False, True):
        with pytest.raises(ConflictError, match=r"circle of tasks .*: tech -> sport -> tech"):
            promotion.promote(tech, 2, why="test", force=force)
    assert tech.current() == 1
    promotion.roll_back(sport, why="test")
    promotion.promote(tech, 2, why="test")
    with pytest.raises(ConflictError, match=r"circle of tasks .*: sport -> tech -> sport"):
        promotion.roll_back(sport, 2, why="test")
    assert sport.current() == 1
    assert [pinned.task for pinned in pin(workspace, [Choice(task="tech")])] == ["sport", "tech"]


def test_a_parents_class_counts_as_its_promoted_student_has_it(workspace: Workspace) -> None:
    text = workspace.task("topic").path.read_text()
    workspace.add_task("topic", text.replace("'sport'", "'sports'"))
    entry = dependent(workspace, "match", ["topic=sports"])
    with pytest.raises(DefinitionError, match="has no class 'sports'; it has sport, tech, other"):
        where_parents_hold(entry, load_corpus(entry.definition, entry.path.parent))
    renamed = ["sports", "tech", "other"]
    promotion.promote(version_2(workspace, "topic", classes=renamed, depends_on=[]), 2, why="test")
    kept = where_parents_hold(entry, load_corpus(entry.definition, entry.path.parent))
    assert len(kept.pool) > 0


@pytest.mark.parametrize(
    ("depends_on", "problem"),
    [
        (["topic=sprot"], "'topic=sprot': task 'topic' has no class 'sprot'; it has sport, tech, other"),
        (["topic=sport", "topic=tech"], "task 'topic' is named twice; a text is of one of its classes alone"),
    ],
)
def test_dependencies_that_can_never_hold_are_told(
    workspace: Workspace, depends_on: list[str], problem: str
) -> None:
    entry = dependent(workspace, "match", depends_on)
    with pytest.raises(DefinitionError, match=rf"match\.toml: depends_on: {problem}"):
        where_parents_hold(entry, load_corpus(entry.definition, entry.path.parent))

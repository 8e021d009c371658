"""What is counted over a corpus, and the rules that are proposed from it."""

import json
import re
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pingti.corpus.rules import matches
from pingti.workspace.definition import parse
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.profiling.cleaning_rules import KINDS, Proposal, repeated, shaped, spaced, toml
from replacement.profiling.frequent import FrequentItems
from replacement.profiling.patterns import emoticons, repeats
from replacement.profiling.profile import Stats, collect
from textcnn.plain.characters import tokenize

_DEFINITION = """\
classes = {classes}

[corpus]
files = ["../*.jsonl"]
{columns}
[teacher]
model = "nowhere"
"""

ROWS = [
    "今天的作业是什么",
    "今天的作业是什么",
    "Hello  World",
    "hello world",
    "[微笑]",
    "[微笑][鲜花]!",
    "😂😂",
    "👍🏻",
    "1️⃣",
    "？？？？",
    "666666",
    "12:30",
    "https://a.example/b?c=d",
    " \u3000\u200b",
    "",
    "哈哈哈哈",
    "哈哈哈哈哈!!",
    "加油加油加油",
    "真好笑哈哈哈哈",
    "hahahah",
    *(f"第{number}节 课打卡" for number in range(30)),
    *(f"it's lesson {number}" for number in range(21)),
]


def task(root: Path, rows: list[str], *, classes: str = '["no", "yes"]', columns: str = "") -> TaskEntry:
    root.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": text, "at": 86_400 * (index // 10)}) for index, text in enumerate(rows)]
    (root / "a.jsonl").write_text("\n".join(lines[:5]) + "\n")
    (root / "b.jsonl").write_text('not JSON\n{"text": null, "at": 0}\n' + "\n".join(lines[5:]) + "\n")
    return Workspace(root).add_task("t", _DEFINITION.format(classes=classes, columns=columns))


def assert_as_counted(stats: Stats, entry: TaskEntry, rows: list[str]) -> None:
    """Every pattern hits the rows that are said, and the section that is printed is one of a definition."""
    texts = pa.array(rows, pa.large_string())
    rules = entry.definition.rules
    ruled = matches(texts, rules.drop + rules.negative)
    for proposal in stats.proposals:
        hit = matches(texts, [proposal.pattern])
        assert (proposal.rows, proposal.new) == (hit.sum(), (hit & ~ruled).sum()), proposal.what
        assert proposal.examples
        shown = {example.removesuffix("...") for example in proposal.examples}
        assert shown <= {text[:60] for text, is_hit in zip(rows, hit, strict=True) if is_hit}
    pasted = entry.path.read_text().partition("[rules]")[0] + stats.toml
    section = parse(pasted).rules
    for rule in ("drop", "negative"):
        expected = [p.pattern for p in stats.proposals if p.rule == rule and p.plain]
        assert getattr(section, rule) == (*getattr(rules, rule), *expected)
    # Those that somebody has to look at first become rules by taking the comment sign away.
    looked = tomllib.loads(re.sub(r"(?m)^    # (?=['\"].*,$)", "    ", stats.toml)).get("rules", {})
    assert {p for patterns in looked.values() for p in patterns} >= {p.pattern for p in stats.proposals}


def test_everything_is_counted(tmp_path: Path) -> None:
    entry = task(tmp_path, ROWS, columns='time = "at"')
    stats = collect(entry)
    assert (stats.files, stats.rows, stats.bad) == (2, len(ROWS), 2)
    assert "b.jsonl: row 0: the line is not JSON" in stats.bad_examples[0]
    assert (stats.exact_duplicates, stats.normalised_duplicates) == (1, 3)
    lengths = sorted(map(len, ROWS))
    assert stats.characters["min"] == 0
    assert stats.characters["max"] == lengths[-1]
    assert stats.characters["p50"] == lengths[(len(ROWS) + 1) // 2 - 1]
    assert stats.characters["mean"] == round(sum(lengths) / len(lengths), 1)
    tokens = sorted(len(tokenize(text)) for text in ROWS)
    assert [stats.tokens["min"], stats.tokens["max"]] == [tokens[0], tokens[-1]]
    assert list(stats.days.items())[:2] == [("1970-01-01", 10), ("1970-01-02", 10)]
    assert sum(stats.days.values()) == len(ROWS)
    kinds = {name: share.rows for name, share in stats.kinds.items()}
    assert kinds == {"empty": 2, "punctuation": 1, "emoji": 2, "bracketed": 2, "digits": 3, "urls": 1}
    assert stats.kinds["emoji"].examples == ("😂😂", "👍🏻")
    assert stats.kinds["emoji"].share == 2 / len(ROWS)
    # ????, 666666, 哈 three times, 加油, ha; not ":" or "//".
    assert stats.repeats.rows == 7
    assert (stats.emoticons.rows, stats.emoticons.examples[0]) == (4, "[微笑]")
    assert stats.emoticon_units == {"[微笑]": 2, "[鲜花]": 1, "😂": 1, "👍": 1}
    assert stats.units == {"哈": 3, "6": 1, "ha": 1, "加油": 1, "？": 1}
    assert {name: share.rows for name, share in stats.shapes.items()} == {
        "第0节 课打卡": 30,
        "it's lesson 0": 21,
    }
    whole = next(p for p in stats.proposals if p.what == "one thing over and over")
    assert whole.examples == ("哈哈哈哈", "哈哈哈哈哈!!", "加油加油加油")
    assert [p.rule for p in stats.proposals] == ["drop"] + ["negative"] * 8
    assert [p.plain for p in stats.proposals] == [True] * 7 + [False] * 2
    assert_as_counted(stats, entry, ROWS)


def test_units_and_marks_are_no_emoticons() -> None:
    held = ["25\u2103", "5\u338f", "\u2116 5", "90\u00b0 \u00a9 \u00ae", "\u3231"]
    assert emoticons(pa.array(held, pa.large_string())) == [set()] * len(held)
    assert emoticons(pa.array(["25\u2103 \u2600 \U0001f602"])) == [{"\u2600", "\U0001f602"}]


def test_emoticons_are_found_within_texts() -> None:
    held = {
        "好的[微笑]谢谢[鲜花][微笑]": {"[微笑]", "[鲜花]"},
        "so funny 😂😂👍🏽!": {"😂", "👍"},
        "love ❤️ 🇨🇳": {"❤", "🇨🇳"},
        "thanks :-) see you:D": {":-)", ":D"},
        "T_T why >_<": {"T_T", ">_<"},
        "12:30, a[0] and [1], http://x, GREAT_TIME, (a:Db)": set(),
        "": set(),
    }
    assert emoticons(pa.array(held, pa.large_string())) == list(held.values())


def test_the_size_of_the_batches_changes_nothing(tmp_path: Path) -> None:
    entry = task(tmp_path, ROWS, columns='time = "at"')
    assert collect(entry, batch_rows=3) == collect(entry, batch_rows=7) == collect(entry)


def test_what_a_rule_hits_already_is_not_proposed_again(tmp_path: Path) -> None:
    entry = task(tmp_path, ROWS)
    before = collect(entry)
    assert before.days == {}
    entry = Workspace(tmp_path).add_task("u", entry.path.read_text() + before.toml)
    after = collect(entry)
    assert [p.plain for p in after.proposals] == [False, False]
    assert after.rules["drop"].rows == 2
    assert after.rules["negative"].rows == sum(p.rows for p in before.proposals if p.plain) - 2
    assert_as_counted(after, entry, ROWS)


def test_without_a_negative_class_what_says_nothing_is_dropped(tmp_path: Path) -> None:
    stats = collect(task(tmp_path, ROWS, classes='["sport", "tech", "other"]'))
    assert {p.rule for p in stats.proposals} == {"drop"}


def test_a_corpus_of_nothing_is_counted_too(tmp_path: Path) -> None:
    entry = task(tmp_path, [])
    (tmp_path / "a.jsonl").write_text('{"text": null}\n')
    stats = collect(entry)
    assert (stats.rows, stats.bad, stats.proposals, stats.characters) == (0, 3, (), {})
    assert stats.toml == "[rules]\n"


ALPHABET = "aé字ｶ0９٣Ⅷ.!_$ \t\u3000\u200b😂❤\ufe0f🏻[]（：/"


@given(st.lists(st.text(ALPHABET, max_size=8) | st.sampled_from(["[微笑]", "http://a.b", "哈哈哈哈"])))
def test_no_text_is_of_two_kinds(rows: list[str]) -> None:
    texts = pa.array(rows, pa.large_string())
    kinds = sum((matches(texts, [pattern]).astype(int) for pattern in KINDS.values()), np.zeros(len(rows)))
    assert np.all(kinds <= 1)
    # What has neither letters nor numbers is of one of them.
    empty = np.array([not any(map(str.isalnum, text)) for text in rows], bool)
    assert np.all(kinds[empty & ~matches(texts, [r"^[\pM\pZ\pC]*$"])] == 1)


def slow_repeats(text: str) -> set[tuple[str, bool]]:
    """Units that stand in a row often enough, and whether nothing else is in the text."""
    repeated_units = set()
    for length, least in ((1, 4), (2, 3), (3, 3)):
        for start in range(len(text)):
            unit, end = text[start : start + length], start + length
            if start and text[start - 1] == text[start - 1 + length : start + length][:1]:
                continue  # the pattern begins before
            while text[end : end + 1] == text[end - length : end - length + 1] != "":
                end += 1
            if end - start >= length * least and (length == 1 or len(set(unit)) > 1) and not unit.isspace():
                repeated_units.add((unit, start == 0 and not any(map(str.isalnum, text[end:]))))
    return repeated_units


@given(st.lists(st.text("ab!哈6 \U0001f602", max_size=14), max_size=5), st.integers(1, 40))
@example(
    ["哈哈哈哈", "hahahah!", "加油吧加油吧加油吧", "    ", "aaa", "abcabcab", "x哈哈哈哈", "aaaaaa"], 1 << 20
)
def test_repeated_patterns_are_those_that_a_plain_search_finds(rows: list[str], at_once: int) -> None:
    lengths = np.array([len(text) for text in rows], np.int64)
    texts = pa.array(rows, pa.large_string())
    patterns = repeats(texts, lengths, at_once=at_once)
    for row, text in enumerate(rows):
        assert {(unit, whole) for number, unit, whole in patterns if number == row} == slow_repeats(text)


@given(st.text("aB9٣ \t'.*[\\#\x00\x7f哈", min_size=1, max_size=10).filter(str.strip))
def test_the_pattern_of_a_shape_hits_its_text_and_survives_toml(text: str) -> None:
    texts = pa.array([text, f"x{text}", f"{text}x"], pa.large_string())
    shape = re.sub(r"\d+", "0", spaced(texts)[0].as_py())
    pattern = shaped(shape)
    assert matches(texts, [pattern]).tolist() == [True, False, False]
    proposal = Proposal(
        rule="drop", pattern=pattern, what="a shape", rows=1, new=1, examples=(text,), plain=True
    )
    printed = toml({"drop": (pattern,), "negative": ()}, [proposal], 10)
    assert tomllib.loads(printed) == {"rules": {"drop": [pattern, pattern]}}
    printed = toml({"drop": (), "negative": ()}, [replace(proposal, plain=False)], 10)
    assert tomllib.loads(printed) == {"rules": {"drop": []}}


@given(st.lists(st.sampled_from("abcdefghij"), max_size=80), st.integers(1, 4), st.integers(1, 9))
def test_frequent_items_are_never_lost(items: list[str], capacity: int, batch: int) -> None:
    summary = FrequentItems(capacity)
    for start in range(0, len(items), batch):
        counts = Counter(items[start : start + batch])
        summary.add(list(counts), list(counts.values()))
        assert len(summary.counts) <= 2 * capacity + batch
    for item, count in Counter(items).items():
        assert count - len(items) / capacity <= summary.counts[item] <= count


@pytest.mark.parametrize("pattern", [*KINDS.values(), repeated(["哈", "ab", "加油吧", "."])])
def test_the_patterns_are_allowed_in_a_definition(pattern: str) -> None:
    text = _DEFINITION.format(classes='["no", "yes"]', columns="") + f"[rules]\ndrop = ['{pattern}']\n"
    assert parse(text).rules.drop == (pattern,)

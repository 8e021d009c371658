import datetime
import re
from pathlib import Path

import pytest

from pingti.corpus.columns import Columns
from pingti.errors import DefinitionError
from pingti.workspace.definition import OperatingPointSection, load, parse

WHOLE = r"""
classes = ["no", "yes"]              # two or more; for two, the second is the positive one
priority = 5                         # 0 runs first, 9 last
depends_on = ["classroom_talk=yes"]

[corpus]
files = ["../history/*.parquet"]
text = "text"
id = "id"
time = "created_at"

[rules]
drop = ['^\s*$']
negative = ['^(\[[^\]]+\])+$']

[teacher]
model = "path or hub id"
labels = "seed_labels.jsonl"
max_length = 64
budget = 50000

[student]
embedding = 128
filters = 128
widths = [2, 3, 4]

[gate]
precision = 0.90
recall = 0.90
holdout_days = 7
rounds = 5

[scenes.default]
[scenes.live]
precision = 0.97

[retrain]
at = "02:00"
"""
SHORTEST = 'classes = ["a", "b", "c"]\ncorpus.files = ["x.csv"]\nteacher.model = "m"\n'


def test_a_whole_definition_is_read() -> None:
    definition = parse(WHOLE)
    assert (definition.classes, definition.binary) == (("no", "yes"), True)
    assert definition.depends_on == ("classroom_talk=yes",)
    assert (definition.corpus.id, definition.corpus.time) == ("id", "created_at")
    assert definition.rules.negative == (r"^(\[[^\]]+\])+$",)
    assert definition.teacher.labels == "seed_labels.jsonl"
    assert definition.gate.holdout_days == 7
    assert definition.operating_points == {
        "default": OperatingPointSection(),
        "live": OperatingPointSection(precision=0.97),
    }
    assert definition.retrain is not None
    assert definition.retrain.at == datetime.time(2)


def test_what_is_not_said_has_a_default() -> None:
    definition = parse(SHORTEST)
    assert not definition.binary
    assert (definition.priority, definition.depends_on, definition.retrain) == (5, (), None)
    assert (definition.corpus.text, definition.corpus.id, definition.corpus.time) == ("text", None, None)
    assert (definition.teacher.labels, definition.teacher.map, definition.teacher.budget) == (
        None,
        {},
        50_000,
    )
    assert (definition.student.embedding, definition.student.filters, definition.student.widths) == (
        256,
        128,
        (1, 2, 3),
    )
    assert (definition.gate.precision, definition.gate.recall, definition.gate.rounds) == (0.9, 0.9, 5)
    assert (definition.gate.holdout_days, definition.gate.holdout_fraction) == (7, 0.1)
    assert definition.operating_points == {"default": OperatingPointSection()}


def test_the_default_operating_point_can_be_set() -> None:
    text = WHOLE.replace("[scenes.default]", "[scenes.default]\nrecall = 0.8")
    assert parse(text).operating_points["default"] == OperatingPointSection(recall=0.8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # keys
        (
            "priority",
            "prio",
            "prio: unknown key; allowed are cascade, classes, corpus, depends_on, family, gate, priority",
        ),
        ("files", "file", "corpus.files: this key is missing (and 1 more)"),
        (
            "time = ",
            "tiem = ",
            "corpus.tiem: unknown key; allowed are delimiter, encoding, escape, files, id, "
            "quoting, text, time, time_format, time_unit",
        ),
        ("time = ", 'delimiter = ";;"\ntime = ', "corpus.delimiter: ';;': needed is one character"),
        ("time = ", 'encoding = "rot13"\ntime = ', "corpus.encoding: 'rot13' is no encoding of texts"),
        ("time = ", 'quoting = "all"\ntime = ', "corpus.quoting: 'all' is not allowed"),
        ("time = ", 'time_unit = "days"\ntime = ', "corpus.time_unit: 'days' is not allowed"),
        (
            "[scenes.live]\nprecision",
            "[scenes.live]\nf1",
            "scenes.live.f1: unknown key; allowed are precision,",
        ),
        ('at = "02:00"', 'at = "02:00"\non = 1', "retrain.on: unknown key; allowed are at"),
        (
            'model = "path or hub id"',
            "",
            "teacher: nobody answers: needed is a model, answers or an endpoint",
        ),
        ('[corpus]\nfiles = ["../history/*.parquet"]', "[corpus]", "corpus.files: this key is missing"),
        # types and ranges
        (
            "priority = 5",
            "priority = 10",
            "priority: 10 is not allowed: input should be less than or equal to 9",
        ),
        (
            "priority = 5",
            'priority = "high"',
            "priority: 'high' is not allowed: input should be a valid integer",
        ),
        ('id = "id"', "id = 3", "corpus.id: 3 is not allowed: input should be a valid string"),
        (
            '["../history/*.parquet"]',
            "[]",
            "corpus.files: [] is not allowed: needed is a list of at least 1",
        ),
        ("budget = 50000", "budget = 9", "teacher.budget: 9 is not allowed: input should be greater than or"),
        (
            "precision = 0.90",
            "precision = 1.5",
            "gate.precision: 1.5 is not allowed: input should be less than",
        ),
        ("precision = 0.90", "precision = nan", "gate.precision: nan is not allowed"),
        (
            "precision = 0.97",
            "precision = 0",
            "scenes.live.precision: 0 is not allowed: input should be greater",
        ),
        ("holdout_days = 7", "holdout_days = 0", "gate.holdout_days: 0 is not allowed"),
        (
            "[2, 3, 4]",
            "[2, 99]",
            "student.widths.1: 99 is not allowed: input should be less than or equal to 16",
        ),
        ("[2, 3, 4]", '[2, "3"]', "student.widths.1: '3' is not allowed: input should be a valid integer"),
        ("[2, 3, 4]", "[true, 2]", "student.widths.0: true is not allowed: input should be a valid integer"),
        # TOML tells types apart
        ("priority = 5", "priority = true", "priority: true is not allowed: input should be a valid integer"),
        ("priority = 5", 'priority = "5"', "priority: '5' is not allowed: input should be a valid integer"),
        (
            "precision = 0.97",
            'precision = "0.97"',
            "scenes.live.precision: '0.97' is not allowed: input should be a valid number",
        ),
        (
            "max_length = 64",
            'fine_tune = "no"',
            "teacher.fine_tune: 'no' is not allowed: input should be a valid boolean",
        ),
        (
            "[retrain]",
            '[student.transformer]\ncheckpoint = ""\n[retrain]',
            "student.transformer.checkpoint: '' is not allowed: string should have at least 1 character",
        ),
        (
            "[retrain]",
            '[student.transformer]\nlayers = "2"\n[retrain]',
            "student.transformer.layers: '2' is not allowed: input should be a valid integer",
        ),
        ("[2, 3, 4]", "[2, 2]", "praise.toml: student: widths=[2, 2]; allowed are ascending lengths"),
        # classes
        ('["no", "yes"]', '["yes"]', "classes: ['yes'] is not allowed: needed is a list of at least 2"),
        (
            '["no", "yes"]',
            '["no", ""]',
            "classes.1: '' is not allowed: string should have at least 1 character",
        ),
        ('["no", "yes"]', '["no", "no"]', "classes: ['no', 'no'] names a class twice"),
        # what has a form of its own
        ('"classroom_talk=yes"', '"classroom_talk"', "depends_on.0: 'classroom_talk' is not of the form"),
        ('"classroom_talk=yes"', '"../x=yes"', "depends_on.0: '../x=yes' is not of the form \"task=class\""),
        ("['^\\s*$']", "['ok', '(']", "rules.drop.1: '(' is not a regular expression of RE2: "),
        ("['^\\s*$']", "['(?=x)']", "rules.drop.0: '(?=x)' is not a regular expression of RE2: "),
        (
            "scenes.live",
            "scenes.Live",
            "scenes: 'Live' is no name; allowed are a-z, 0-9 and _, a letter first",
        ),
        (
            "precision = 0.97",
            "precision = 0.97\nrecall = 0.9",
            "scenes.live: an operating point names a precision or",
        ),
        (
            '["no", "yes"]',
            '["a", "b", "c"]',
            "scenes.live: a precision or recall needs a task of two classes",
        ),
        (
            "max_length = 64",
            'map = {x = "maybe"}',
            "teacher.map: 'maybe' is no class; allowed are ['no', 'yes']",
        ),
        (
            'at = "02:00"',
            'at = "25:00"',
            "retrain.at: '25:00' is not allowed: input should be in a valid time",
        ),
        (
            'at = "02:00"',
            'at = "02:00Z"',
            'retrain.at: needed is a local time without a zone, such as "02:00"',
        ),
        ('at = "02:00"', "at = 2", "retrain.at: needed is a local time without a zone"),
        # not TOML at all
        ("priority = 5", "priority = ", "not valid TOML: Invalid value (at line 3, column 37)"),
        ("priority = 5", "priority = 5\npriority = 5", "not valid TOML: Cannot overwrite a value"),
        ("priority = 5", "priority = " + "[" * 9999, "not valid TOML: "),
        (
            "priority = 5",
            "priority = " + "9" * 5000,
            "not valid TOML: Exceeds the limit (4300",
        ),
        ("priority = 5", "priority = -" + "1" * 5000, "not valid TOML: Exceeds the limit"),
        ("budget = 50000", "budget = " + "7" * 4301, "not valid TOML: Exceeds the limit"),
        ("# 0 runs", "# \ud83d runs", "not UTF-8 (character"),
    ],
)
def test_a_wrong_definition_is_refused_with_file_key_and_what_is_allowed(
    old: str, new: str, message: str
) -> None:
    assert old in WHOLE
    with pytest.raises(DefinitionError) as caught:
        parse(WHOLE.replace(old, new, 1), "tasks/praise.toml")
    assert str(caught.value).startswith("tasks/praise.toml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(DefinitionError, match=r"a\.toml: not readable: No such file"):
        load(path)
    path.write_bytes(b'# caf\xe9\nclasses = ["a", "b"]')
    with pytest.raises(DefinitionError, match=r"a\.toml: not UTF-8 \(byte 5\)"):
        load(path)
    path.write_text(SHORTEST.replace('"m"', "7"))
    with pytest.raises(DefinitionError, match=r"a\.toml: teacher\.model: 7 is not allowed"):
        load(path)
    path.write_text(SHORTEST)
    assert load(path) == parse(SHORTEST)


def test_a_definition_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(SHORTEST.replace("\n", "\r\n").encode("utf-8-sig"))
    assert load(path) == parse(SHORTEST)


def test_a_definition_says_how_its_corpus_is_written() -> None:
    said = {
        "delimiter": ";",
        "quoting": "none",
        "escape": "\\",
        "encoding": "gb18030",
        "time_format": "%d.%m.%Y",
        "time_unit": "ms",
    }
    keys = "".join(f"{key} = '{value}'\n" for key, value in said.items())
    corpus = parse(WHOLE.replace("[corpus]\n", f"[corpus]\n{keys}")).corpus
    assert corpus.columns == Columns(text="text", id="id", time="created_at", **said)
    assert parse(SHORTEST).corpus.columns == Columns()


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("%Q", "'%Q' is no form of times"),
        ("", "it has no year"),
        ("%d.%m. %H:%M", "it has no year"),  # each row would be of 1900
        ("%Y-%m-%d %H:%M %Z", "%Z is not known to mean one zone"),  # read, and taken as UTC
        ("%Y-%m-%d %", "is no form of times"),
    ],
)
def test_a_form_of_times_names_a_year_and_no_zone_by_its_name(form: str, why: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape(why)) as caught:
        parse(f"{SHORTEST}corpus.time_format = '{form}'\n")
    assert caught.value.faults[0].pointer == "/corpus/time_format"


@pytest.mark.parametrize(
    "form", ["%d.%m.%y", "%Y%j", "%G-W%V-%u", "%d %b %Y %H:%M %z", "%Y-%m-%d UTC", "%Y 100%%Z"]
)
def test_forms_of_times_with_a_year_are_taken(form: str) -> None:
    assert parse(f"{SHORTEST}corpus.time_format = '{form}'\n").corpus.columns.time_format == form


@pytest.mark.parametrize(
    ("old", "new", "pointers"),
    [
        ("files", "file", ["/corpus/files", "/corpus/file"]),
        ("[2, 3, 4]", "[2, 99, 99]", ["/student/widths/1", "/student/widths/2"]),
        ("precision = 0.97", "precision = 0.97\nrecall = 0.9", ["/scenes/live"]),
        ('["no", "yes"]', '["no", "no"]', ["/classes"]),
        ("max_length = 64", 'map = {x = "maybe"}', ["/teacher/map"]),
        ("scenes.live", "scenes.Live", ["/scenes"]),
        ('["no", "yes"]', '["a", "b", "c"]', ["/scenes/live"]),
        ("priority = 5", "priority = ", [None]),
    ],
)
def test_each_fault_of_a_definition_has_its_place(old: str, new: str, pointers: list[str | None]) -> None:
    path = Path("tasks/praise.toml")
    with pytest.raises(DefinitionError) as caught:
        parse(WHOLE.replace(old, new, 1), path)
    assert [(fault.pointer, fault.file) for fault in caught.value.faults] == [
        (pointer, "tasks/praise.toml") for pointer in pointers
    ]
    assert caught.value.faults[0].detail in str(caught.value)


def test_all_that_does_not_fit_together_is_told_at_once() -> None:
    text = """
    classes = ["a", "b", "b"]
    [corpus]
    files = ["a.csv"]
    [teacher]
    model = "bert"
    map = {x = "c", y = "d", z = "a"}
    [scenes.Live]
    precision = 0.9
    """
    with pytest.raises(DefinitionError) as caught:
        parse(text)
    assert [fault.pointer for fault in caught.value.faults] == [
        "/classes",
        "/teacher/map",
        "/teacher/map",
        "/scenes",
        "/scenes/Live",
    ]

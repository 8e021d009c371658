"""Boundary rows out to a labelling tool, people's labels back, and above the teacher's."""

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from pingti.annotation import labels, review_queue, tool_formats
from pingti.annotation.labelled_texts import read_labelled
from pingti.annotation.labels import Imported
from pingti.annotation.review_queue import Format
from pingti.errors import ArtifactError, ConflictError, InputError, NotFoundError
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.answers import margin
from replacement.training.people_labels import read_people_labels
from replacement.training.teacher_labels import load_teacher

TEXTS = ['谁在"表扬单"上\u2028呢', "plain", "a, b\n\t<c>"]
NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


@pytest.fixture
def entry(tmp_path: Path) -> TaskEntry:
    (tmp_path / "c.jsonl").write_text(
        '{"id": "k1", "text": "from the corpus"}\n{"id": "k2", "text": "one"}\n{"id": "k2", "text": "two"}\n'
    )
    text = (
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["../c.jsonl"]\nid = "id"\n[teacher]\nmodel = "nowhere"\n'
    )
    entry = Workspace(tmp_path).add_task("praise", text)
    scores = np.array([[0.48, 0.52], [0.49, 0.51], [0.53, 0.47]], np.float32)
    assert review_queue.write(entry, 1, ["r1", None, "r3"], TEXTS, scores, margin(scores)) == 3
    return entry


def export(entry: TaskEntry, form: Format, **options: Any) -> Any:
    out = entry.workspace.root / f"out-{form}"
    assert review_queue.export(entry, form, out, **options) == len(TEXTS) - len(options.get("labelled", []))
    content = out.read_text(encoding="utf-8")
    if form is Format.JSONL:
        return [json.loads(line) for line in content.split("\n") if line]
    return json.loads(content)


def import_labels(entry: TaskEntry, content: Any, *, lines: bool = False, hour: int = 0) -> Imported:
    path = entry.workspace.root / "labelled.json"
    content = "\n".join(map(json.dumps, content)) if lines else json.dumps(content)
    path.write_text(content, encoding="utf-8")
    return labels.add(entry, path, now=NOON + datetime.timedelta(hours=hour))


def known(entry: TaskEntry) -> dict[str, str]:
    return {text: label.label for text, label in labels.read(entry).items()}


def annotated(task: dict[str, Any], label: str, **more: Any) -> dict[str, Any]:
    """A task as Label Studio exports it once somebody has answered."""
    result = {**task["predictions"][0]["result"][0], "id": "Dx_aB91ISN", "origin": "manual"}
    result["value"] = {"choices": [label]}
    annotation = {
        "id": 7,
        "completed_by": 3,
        "result": [result],
        "was_cancelled": False,
        "created_at": "2026-11-20T09:00:00.000001Z",
        "updated_at": "2026-11-20T10:00:00Z",
        **more,
    }
    return {**task, "id": 1, "annotations": [annotation], "drafts": [], "project": 2}


def test_label_studio_gets_tasks_with_predictions_and_its_answers_come_back(entry: TaskEntry) -> None:
    tasks = export(entry, Format.LABEL_STUDIO)
    # The least clear first.
    assert [task["data"]["text"] for task in tasks] == [TEXTS[1], TEXTS[0], TEXTS[2]]
    assert tasks[1] == {
        "data": {
            "text": TEXTS[0],
            "id": "r1",
            "task": "praise",
            "reason": "the teacher's margin of 0.040 is below 0.1",
        },
        "predictions": [
            {
                "model_version": "teacher of praise",
                "score": 0.52,
                "result": [
                    {
                        "from_name": "label",
                        "to_name": "text",
                        "type": "choices",
                        "value": {"choices": ["yes"]},
                    }
                ],
            }
        ],
    }
    assert '<Choices name="label" toName="text"' in review_queue.label_studio_config(["no", 'a "b" & <c>'])
    done = [
        annotated(tasks[0], "no"),
        annotated(tasks[1], "yes", completed_by={"id": 5, "email": "li@example.org"}),
        annotated(tasks[2], "yes", was_cancelled=True),
    ]
    assert import_labels(entry, done) == Imported(
        records=3, added=2, unchanged=0, unanswered=1, disagreements=0, bad=()
    )
    latest = labels.read(entry)
    assert {text: (given.id, given.label, given.who, given.when) for text, given in latest.items()} == {
        TEXTS[1]: (None, "no", "3", "2026-11-20T10:00:00.000000+00:00"),
        TEXTS[0]: ("r1", "yes", "li@example.org", "2026-11-20T10:00:00.000000+00:00"),
    }


def test_an_answer_to_another_question_is_no_label(entry: TaskEntry) -> None:
    def renamed(task: dict[str, Any], *, predicted: bool) -> dict[str, Any]:
        answered = annotated(task, "yes")
        answered["annotations"][0]["result"][0]["from_name"] = "spam"
        return answered if predicted else {**answered, "predictions": [5]}

    studio = export(entry, Format.LABEL_STUDIO)
    argilla = export(entry, Format.ARGILLA)[0]
    who = {"value": "yes", "user_id": "ann"}
    elsewhere = renamed(studio[1], predicted=False)
    elsewhere["annotations"].append(annotated(studio[1], "no", was_cancelled=True)["annotations"][0])
    other = [
        renamed(studio[0], predicted=True),
        elsewhere,
        {**argilla, "responses": {"spam": [who]}},
        {**argilla, "responses": {"spam": [who], "rude": [who]}},
        {"text": TEXTS[0], "spam.responses": ["yes"], "label.suggestion": "no"},
    ]
    imported = import_labels(entry, other)
    assert (imported.added, imported.unanswered, imported.bad) == (0, 5, ())
    # Where nothing tells of our question, the only one is ours under another name.
    alone = [
        renamed(studio[0], predicted=False),
        {"fields": {"text": TEXTS[0]}, "responses": {"spam": [who]}},
        {"text": TEXTS[2], "spam.responses": ["yes"]},
    ]
    assert import_labels(entry, alone).added == 3


def test_argilla_gets_records_with_suggestions_and_its_responses_come_back(entry: TaskEntry) -> None:
    assert "rg.LabelQuestion(name=\"label\", labels=['no', 'yes'])" in review_queue.argilla_settings(
        ["no", "yes"]
    )
    records = export(entry, Format.ARGILLA)
    first = {**records[0]}
    assert len({record["id"] for record in records}) == 3
    assert first.pop("id")
    assert first == {
        "fields": {"text": TEXTS[1]},
        "metadata": {},
        "suggestions": {"label": {"value": "yes", "score": 0.51, "agent": "teacher of praise"}},
        "responses": {},
        "vectors": {},
    }
    who = "3f1c0a52-0000-4000-8000-000000000000"
    # Dataset.records.to_json, then one record of Dataset.records.to_datasets.
    records[0]["responses"] = {"label": [{"value": "no", "user_id": who}], "comment": [{"value": "?"}]}
    records[1]["responses"] = {"label": [{"value": "no", "user_id": who, "status": "draft"}]}
    records[2]["responses"] = {}
    flat = {
        "id": records[2]["id"],
        "text": TEXTS[2],
        "label.responses": ["no", "yes"],
        "label.responses.users": [who, who],
        "label.responses.status": ["discarded", "submitted"],
        "label.suggestion": "no",
    }
    imported = import_labels(entry, [*records, flat])
    assert (imported.added, imported.unanswered, imported.bad) == (2, 2, ())
    assert known(entry) == {TEXTS[1]: "no", TEXTS[2]: "yes"}
    latest = labels.read(entry)[TEXTS[1]]
    assert (latest.who, latest.when) == (who, "2026-11-21T12:00:00.000000+00:00")


def test_json_lines_are_filled_in_and_come_back(entry: TaskEntry) -> None:
    rows = export(entry, Format.JSONL)
    assert [(row["id"], row["text"], row["label"]) for row in rows][:2] == [
        (None, TEXTS[1], ""),
        ("r1", TEXTS[0], ""),
    ]
    rows[1]["label"] = "yes"
    given = [*rows, {"id": "r3", "label": "no"}, {"id": "k1", "label": "yes", "who": "me"}]
    imported = import_labels(entry, given, lines=True)
    assert (imported.records, imported.added, imported.unanswered) == (5, 3, 2)
    assert known(entry) == {TEXTS[0]: "yes", TEXTS[2]: "no", "from the corpus": "yes"}
    # What is labelled need not be labelled again.
    (entry.workspace.root / "out-jsonl").unlink()
    assert [row["text"] for row in export(entry, Format.JSONL, labelled=[TEXTS[0]])] == [TEXTS[1], TEXTS[2]]


def test_the_latest_label_counts_and_importing_again_changes_nothing(entry: TaskEntry) -> None:
    path = entry.folder / "labels.jsonl"

    def import_twice(rows: list[dict[str, Any]], hour: int) -> tuple[int, int, int]:
        imported = import_labels(entry, rows, lines=True, hour=hour)
        content = path.read_bytes()
        again = import_labels(entry, rows, lines=True, hour=hour)
        assert (again.added, path.read_bytes()) == (0, content)
        return imported.added, imported.unchanged, imported.disagreements

    row = {"text": "plain", "label": "yes"}
    assert import_twice([row], 0) == (1, 0, 0)
    assert import_twice([{**row, "label": "no"}], 1) == (1, 0, 0)
    assert known(entry) == {"plain": "no"}
    # A tool says when: what was said before the last import does not count any more.
    assert import_twice([{**row, "when": "2026-11-21T20:30:00+08:00"}], 2) == (0, 1, 0)
    assert import_twice([{**row, "when": "2026-11-21T13:30:00"}], 2) == (1, 0, 0)
    assert import_twice([{**row, "label": "no"}, row, {**row, "label": "no"}], 3) == (1, 0, 1)
    assert known(entry) == {"plain": "no"}
    assert len(path.read_text().splitlines()) == 4


def test_bad_records_are_named_and_the_others_come_in(entry: TaskEntry) -> None:
    task = export(entry, Format.LABEL_STUDIO)[1]
    two = annotated(task, "no")
    two["annotations"][0]["result"][0]["value"] = {"choices": ["no", "yes"]}
    record = {"fields": {"text": "t"}, "responses": {"label": [{"value": "maybe"}]}}
    rows = [
        annotated(task, "maybe"),
        two,
        {**annotated(task, "no"), "data": {}},
        {"annotations": 5},
        record,
        {**record, "fields": {}, "responses": {"label": [{"value": "no"}]}},
        {"responses": {"a": [], "b": []}, "fields": {}},
        {"text": "t", "label.responses": ["no"], "label.responses.users": []},
        {"text": "t", "label.responses": ["no"], "label.responses.users": ["a", "b"]},
        {"text": 5, "label": "no"},
        {"label": "no"},
        {"id": "k2", "label": "no"},
        {"id": "nowhere", "label": "no"},
        {"text": "t", "label": 1},
        {"text": "t", "label": "no", "when": "noon"},
        {"text": "t"},
        17,
        {"text": "good", "label": "yes"},
    ]
    imported = import_labels(entry, rows)
    assert (imported.records, imported.added) == (18, 2)
    path = entry.workspace.root / "labelled.json"
    assert {sentence.removeprefix(f"{path}: ") for sentence in imported.bad} == {
        "record 1: annotations[0].result[0].value.choices: 'maybe' is no class; allowed are no, yes",
        "record 2: annotations[0].result[0].value.choices: 2 labels; one is needed",
        "record 3: data.text: missing, and data.id too; one of them is needed",
        "record 4: data: needed is an object",
        "record 5: responses.label[0].value: 'maybe' is no class; allowed are no, yes",
        "record 6: field 'fields.text' is missing or null",
        "record 7: responses: no question 'label'; there are a, b",
        "record 9: label.responses: needed are lists of one length: the answers, "
        "their users and their status",
        "record 10: field 'text' is of type int; a string is needed",
        "record 11: text: missing, and id too; one of them is needed",
        "record 12: id: 'k2': several texts of the corpus have it; give the text",
        "record 13: id: 'nowhere': no text of the corpus has it; give the text",
        "record 14: label: is of type int; a label is needed",
        "record 15: when: 'noon' is no time; ISO 8601 or Unix seconds are needed",
        "record 16: needed is a Label Studio task with annotations, an Argilla record with responses, or an "
        "object with label, and text or id",
        "record 17: not a JSON object",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe", "not UTF-8 (byte 0)"),
        (b"[{]", "not readable as JSON: "),
        (b"PAR1", "line 1: not a JSON object"),
        (b'{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}', "'x' is no class; allowed are no, yes"),
        (b'{"text": "\\ud800", "label": "no"}', "field 'text' is not UTF-8"),
    ],
)
def test_a_file_without_a_usable_record_is_refused(entry: TaskEntry, content: bytes, says: str) -> None:
    path = entry.workspace.root / "labelled.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        labels.add(entry, path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    first = caught.value.faults[0]
    assert (first.file, str(caught.value).startswith(f"{path}: {first.detail}")) == (str(path), True)
    assert not (entry.folder / "labels.jsonl").exists()
    with pytest.raises(InputError, match="not readable"):
        labels.add(entry, path.with_name("absent"))


def test_records_come_in_without_a_file(entry: TaskEntry) -> None:
    good = {"text": "good", "label": "yes"}
    imported = labels.add_records(entry, [("record 1", good), ("record 2", {"label": "no"})], now=NOON)
    assert imported.bad == ("record 2: text: missing, and id too; one of them is needed",)
    assert known(entry) == {"good": "yes"}
    with pytest.raises(InputError, match=r"^record 7: not a JSON object \(and 1 more\)$") as caught:
        labels.add_records(entry, [("record 7", None), ("record 8", {**good, "label": "maybe"})])
    assert [(fault.detail[:8], fault.file) for fault in caught.value.faults] == [
        ("record 7", None),
        ("record 8", None),
    ]


def test_a_record_in_several_lines_is_one(entry: TaskEntry) -> None:
    path = entry.workspace.root / "labelled.json"
    path.write_text(json.dumps({"text": "t", "label": "no"}, indent=2), encoding="utf-8-sig")
    assert labels.add(entry, path).added == 1


KEYS = ["annotations", "result", "value", "choices", "type", "data", "completed_by", "text", "id", "label"]
KEYS += ["responses", "fields", "label.responses", "label.responses.users", "label.responses.status", "when"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("no"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner | st.just("choices"),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(json_values)
def test_whatever_a_record_is_it_is_read_or_refused(record: Any) -> None:
    try:
        answers = tool_formats.answers(record, ["no", "yes"])
    except tool_formats.Unusable:
        return
    assert all(answer.label == "no" and (answer.text, answer.id) != (None, None) for answer in answers)


def test_damage_is_noticed(entry: TaskEntry) -> None:
    import_labels(entry, [{"text": "a", "label": "no"}, {"text": "b", "label": "no"}])
    path = entry.folder / "labels.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.warns(UserWarning, match="line 2 is damaged and left out"):
        assert known(entry) == {"a": "no"}
    with pytest.warns(UserWarning, match="line 2 is damaged"):
        assert import_labels(entry, [{"text": "b", "label": "yes"}], hour=1).added == 1
    with pytest.warns(UserWarning, match="line 2 is damaged"):
        assert known(entry) == {"a": "no", "b": "yes"}
    path.write_bytes(whole.replace(b'"no"', b'"maybe"', 1))
    with pytest.raises(InputError, match=r"labels\.jsonl: the label 'maybe' of 'a' is no class"):
        labels.read(entry)
    (entry.folder / "review.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(ArtifactError, match=r"review\.jsonl: line 1 is damaged"):
        review_queue.read(entry)


def test_an_export_needs_rows_and_overwrites_nothing(entry: TaskEntry) -> None:
    out = entry.workspace.root / "out"
    out.write_text("somebody's work")
    with pytest.raises(ConflictError, match="is there already"):
        review_queue.export(entry, Format.JSONL, out)
    (entry.folder / "review.jsonl").unlink()
    with pytest.raises(NotFoundError, match=r"no review\.jsonl yet"):
        review_queue.export(entry, Format.JSONL, out.with_name("other"))
    assert review_queue.read(entry) == []


def test_a_person_outranks_the_teacher(tiny_bert: Path, tmp_path: Path) -> None:
    from teacher.finetune import Recipe, fine_tune

    texts = ["a b", "x y", "n m", "aa"]
    model = tmp_path / "model"
    rng = np.random.default_rng(0)
    names, recipe = ["a", "b", "c"], Recipe(epochs=1)
    fine_tune(str(tiny_bert), texts[:3], names, classes=names, out=model, rng=rng, recipe=recipe)
    text = f'classes = ["c", "a", "b"]\n[corpus]\nfiles = ["x.jsonl"]\n[teacher]\nmodel = "{model}"\n'
    entry = Workspace(tmp_path / "home").add_task("t", text)
    before = load_teacher(entry, read_people_labels(entry), seed=0)
    plain = before.ask(texts, "asking")
    import_labels(entry, [{"text": "x y", "label": "b"}, {"text": "aa", "label": "c"}])
    after = load_teacher(entry, read_people_labels(entry), seed=0)
    answers = after.ask([*texts, "x y"], "asking")
    assert answers.probabilities[[1, 3, 4]].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert answers.margin[[1, 3, 4]].tolist() == [1, 1, 1]
    assert answers.probabilities[[0, 2]].tolist() == plain.probabilities[[0, 2]].tolist()
    assert answers.vectors[:4].tolist() == plain.vectors.tolist()
    # It is the text that is labelled, in whichever form: the pool may have kept another than was labelled.
    import_labels(entry, [{"text": "X  y", "label": "c"}], hour=1)
    latest = load_teacher(entry, read_people_labels(entry), seed=0)
    assert latest.ask(["x y", "Ｘ Y"], "asking").decided.tolist() == [0, 0]
    assert latest.is_reviewed(pa.array(["x Y", "x-y"])).tolist() == [True, False]
    for kind in (pa.string(), pa.large_string()):
        assert after.is_reviewed(pa.array(texts, kind)).tolist() == [False, True, False, True]
    assert not before.is_reviewed(pa.array(texts)).any()


def test_label_studio_s_minimal_export_is_taken_like_its_full_one(entry: TaskEntry) -> None:
    minimal = {"id": 5, "text": "plain", "annotator": 1, "annotation_id": 9, "lead_time": 3.1}
    newer = {**minimal, "label": "yes", "updated_at": "2026-11-20T08:00:00Z"}
    older = {**minimal, "label": "no", "created_at": "2026-11-19T08:00:00Z", "annotator": {"email": "a@b.c"}}
    assert import_labels(entry, [newer]).added == 1
    imported = import_labels(entry, [older], hour=5)
    assert (imported.added, imported.unchanged) == (0, 1)
    assert known(entry) == {"plain": "yes"}
    assert [label.who for label in labels.read(entry).values()] == ["1"]
    unanswered = import_labels(entry, [{"id": 7, "text": "rain", "annotator": 1}, {**minimal, "label": []}])
    assert (unanswered.unanswered, unanswered.bad) == (2, ())
    one = import_labels(entry, [{**minimal, "text": "a", "label": {"choices": ["no"]}}])
    assert (one.added, one.bad) == (1, ())
    with pytest.raises(InputError, match="2 labels; one is needed"):
        import_labels(entry, [{**minimal, "label": {"choices": ["no", "yes"]}}])
    with pytest.raises(InputError, match="mood: an answer to a question that is not named 'label'"):
        import_labels(entry, [{**minimal, "mood": "yes"}])


def test_a_label_that_was_rejected_or_ignored_is_none(entry: TaskEntry) -> None:
    rows = [{"text": "a", "label": "yes", "answer": answer} for answer in ("reject", "ignore")]
    rows.append({"text": "b", "label": "yes", "answer": "accept"})
    imported = import_labels(entry, rows, lines=True)
    assert (imported.added, imported.unanswered, imported.bad) == (1, 2, ())
    assert known(entry) == {"b": "yes"}


def test_prodigys_records_are_read_as_it_writes_them(entry: TaskEntry) -> None:
    options = [{"id": "no", "text": "no"}, {"id": "yes", "text": "yes"}]
    rows = [
        {"text": "a", "options": options, "accept": ["yes"], "answer": "accept"},
        {"text": "b", "options": options, "accept": [], "answer": "accept"},
        {"text": "c", "options": options, "accept": ["yes"], "answer": "reject"},
        {"text": "d", "label": "yes", "answer": "Reject"},
        {"text": "e", "label": "yes", "answer": "a column of somebody's own"},
        {"text": "f", "label": "no", "answer": "accept", "_timestamp": 1_700_000_000},
        {"text": "f", "label": "yes", "answer": "accept", "_timestamp": 1_600_000_000},
    ]
    imported = import_labels(entry, rows, lines=True)
    assert (imported.unanswered, imported.disagreements, imported.bad) == (3, 1, ())
    assert known(entry) == {"a": "yes", "e": "yes", "f": "no"}
    with pytest.raises(InputError, match="accept: 2 labels; one is needed"):
        import_labels(entry, [{"text": "g", "accept": ["yes", "no"], "answer": "accept"}], lines=True)


def test_an_empty_list_of_labels_is_no_answer(entry: TaskEntry) -> None:
    rows = [{"id": 1, "text": "a", "label": ["yes"]}, {"id": 2, "text": "b", "label": []}]
    imported = import_labels(entry, rows, lines=True)
    assert (imported.added, imported.unanswered, imported.bad) == (1, 1, ())


def test_what_a_labelled_file_says_twice_or_not_at_all_is_told(entry: TaskEntry) -> None:
    rows = [
        {"text": "a", "label": "yes"},
        {"text": "A ", "label": "no"},
        {"text": "b", "label": ["yes"]},
        {"text": "b", "label": "yes"},
        {"text": "c", "label": "yes", "answer": "reject"},
        {"text": "d", "label": []},
    ]
    path = entry.workspace.root / "seed.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    labelled = read_labelled(path, entry)
    assert dict(zip(labelled.texts, labelled.labels, strict=True)) == {"A ": "no", "b": "yes"}
    disputed, unanswered = labelled.notes
    assert disputed.startswith("seed.jsonl: 1 of 2 texts are labelled twice differently")
    assert "yes, then no" in disputed
    assert unanswered.startswith("seed.jsonl: 2 lines hold no answer")
    assert unanswered.endswith("line 5")
    path.write_text("\n".join(map(json.dumps, rows[2:4])))
    assert read_labelled(path, entry).notes == ()


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("by", ["text", "id", "post", "number"])
def test_labelled_files_have_the_corpus_s_own_columns(tmp_path: Path, form: str, by: str) -> None:
    (tmp_path / "c.jsonl").write_text('{"number": 1, "post": "one, two"}\n{"number": 2, "post": "three"}\n')
    text = (
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["../c.jsonl"]\ntext = "post"\nid = "number"\n'
        '[teacher]\nmodel = "nowhere"\n'
    )
    entry = Workspace(tmp_path).add_task("praise", text)
    values = ["one, two", "three"] if by in ("text", "post") else ["1", "2"]
    table = pa.table({by: values, "label": ["yes", "no"], "other": [1, 2]})
    path = tmp_path / f"true.{form}"
    if form == "parquet":
        pq.write_table(table, path)
    elif form == "jsonl":
        path.write_text("\n".join(map(json.dumps, table.to_pylist())))
    else:
        csv.write_csv(table, path, csv.WriteOptions(delimiter="," if form == "csv" else "\t"))
        if form == "tsv":
            path.write_text(path.read_text().replace('"', ""))
    labelled = read_labelled(path, entry)
    assert dict(zip(labelled.texts, labelled.labels, strict=True)) == {"one, two": "yes", "three": "no"}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_labelled_table_that_cannot_be_used_is_refused(entry: TaskEntry, form: str) -> None:
    path = entry.workspace.root / f"true.{form}"

    def write(**columns: list[str]) -> None:
        table = pa.table(columns)
        pq.write_table(table, path) if form == "parquet" else csv.write_csv(table, path)

    write(text=["a"], label=["perhaps"])
    with pytest.raises(InputError, match=r"'perhaps' is no class; allowed are no, yes"):
        read_labelled(path, entry)
    write(text=["a"], answer=["yes"])
    with pytest.raises(InputError, match="label"):
        read_labelled(path, entry)


def test_ids_of_labels_are_spelled_as_those_of_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"id": 12.0, "text": "one"}\n{"id": 13, "text": "two"}\n')
    text = (
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["../c.jsonl"]\nid = "id"\n[teacher]\nmodel = "nowhere"\n'
    )
    entry = Workspace(tmp_path).add_task("praise", text)
    rows = [{"id": 12.0, "label": "yes"}, {"id": "13", "label": "no"}]  # as pandas writes ids with a gap
    assert import_labels(entry, rows).added == 2
    path = tmp_path / "true.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    labelled = read_labelled(path, entry)
    assert (
        dict(zip(labelled.texts, labelled.labels, strict=True)) == known(entry) == {"one": "yes", "two": "no"}
    )
    for wrong, why in ((None, "'id' is missing or null"), (float("inf"), "'id' is an infinite number")):
        path.write_text(json.dumps({"id": wrong, "label": "yes"}))
        with pytest.raises(InputError, match=f"line 1: .*{why}"):
            read_labelled(path, entry)


def test_labelled_tables_may_have_the_corpus_s_encoding(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes("text\n中国队赢了\n".encode("gb18030"))
    text = (
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["../c.csv"]\nencoding = "gb18030"\n'
        '[teacher]\nmodel = "nowhere"\n'
    )
    entry = Workspace(tmp_path).add_task("praise", text)
    path = tmp_path / "TRUE.CSV"
    texts = [f"中国队赢了{number}" for number in range(4)]
    table = "text,label\n" + "".join(f"{text},yes\n" for text in texts)
    for encoding in ("gb18030", "utf-8"):
        path.write_bytes(table.encode(encoding))
        assert read_labelled(path, entry).texts == texts


def test_labels_without_an_answer_are_told_and_left_out(entry: TaskEntry) -> None:
    path = entry.workspace.root / "seed.jsonl"
    rows = [{"text": "a", "label": "yes"}, *({"text": "b", "label": label} for label in (None, "", []))]
    path.write_text("\n".join(map(json.dumps, rows)))
    labelled = read_labelled(path, entry)
    assert labelled.texts == ["a"]
    (note,) = labelled.notes
    assert note.startswith("seed.jsonl: 3 lines hold no answer (no label, rejected, ignored)")
    assert note.endswith("the first is line 2")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x1f\x8b\x08", r"not UTF-8 \(byte 1\); needed is JSONL, CSV, TSV or Parquet"),
        (b'{"text": "a", "label": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_labelled_lines_that_cannot_be_read_are_told_in_words(
    entry: TaskEntry, data: bytes, why: str
) -> None:
    path = entry.workspace.root / "seed.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=why):
        read_labelled(path, entry)


@pytest.mark.parametrize("name", ["labels.csv", "labels.TSV", "labels.parquet"])
def test_a_table_is_not_imported_as_a_tool_s_answers(tmp_path: Path, entry: TaskEntry, name: str) -> None:
    (tmp_path / name).write_text("text,label\na,yes\n")
    with pytest.raises(InputError, match="imported from JSON or JSON lines, not from a table"):
        labels.add(entry, tmp_path / name)


def test_an_import_that_is_nested_too_deeply_is_told_in_words(tmp_path: Path, entry: TaskEntry) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not readable as JSON: nested too deeply"):
        labels.add(entry, tmp_path / "a.json")

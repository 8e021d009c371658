"""From a definition to a student, whoever answers in a BERT's place."""

import json
import threading
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.checks.task import check_task
from pingti.errors import ArtifactError, ConflictError, DefinitionError, InputError, UnavailableError
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.results import StopReason
from replacement.similarity import fit
from replacement.teacher_sources.vectors import SimilarityVectors, open_vectors
from replacement.training import warm_start
from replacement.training.loop import replace
from replacement.training.teacher_labels import load_teacher_of_version
from teacher.endpoints import requests
from tests.support.endpoints import TOKENS, answer_json, chat, topic
from tests.support.http_servers import server
from tests.support.teachers import agreement_with_teacher, corpus_file, write_bert
from tests.support.texts import WORDS, made_texts
from textcnn import Architecture, Student, Vocabulary
from textcnn.network import TextCNN

DEFINITION = """\
classes = ["no", "yes"]

[corpus]
files = ["../corpus.jsonl"]
id = "id"

[teacher]
{teacher}

[student]
embedding = 16
filters = 16
widths = [1, 2]
epochs = 8
wide = 0

[gate]
precision = 0.8
recall = 0.8
holdout_fraction = 0.2
holdout_rows = 60
rounds = 3
"""
TO_SPORT = 'map = {sport = "yes", "*" = "no"}'
ROWS = 600


def add(root: Path, teacher: str) -> TaskEntry:
    corpus_file(root, ROWS)
    return Workspace(root).add_task("sport", DEFINITION.format(teacher=teacher))


def corpus_texts() -> list[str]:
    return made_texts(ROWS, seed=2)[0]


def yes_or_no(text: str) -> str:
    return "yes" if topic(text) == "sport" else "no"


def notes_of(outcome: Any) -> str:
    return " ".join(outcome.report["notes"])


@pytest.mark.parametrize("concurrency", [1, 8])
def test_an_endpoint_that_fails_half_of_the_time_teaches_a_student_within_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    monkeypatch.setattr(requests, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setenv("PINGTI_PRIVATE_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("PINGTI_TEACHER_KEY_TINY", "s3cret\n")  # as a file gives it
    budget = 600 * sum(TOKENS)
    faults = ["", "500", "", "429", "", "broken", "", "500", "malformed", "429"]
    with chat(*faults) as (url, model):
        section = f"""\
budget = 300
{TO_SPORT}
[teacher.endpoint]
kind = "chat"
url = "{url}"
model = "tiny"
key_variable = "PINGTI_TEACHER_KEY_TINY"
concurrency = {concurrency}
descriptions = {{sport = "games", tech = "machines", other = "all else"}}
most_tokens = {budget}
"""
        entry = add(tmp_path, section)
        outcome = replace(entry)
        asked = model.answered
        again = replace(entry, seed=0)
    if concurrency == 1:  # else it is chance which texts meet a fault, and so which rows are learned from
        assert outcome.passed
        promotion.promote(entry, outcome.version, why="passed")
        # What was answered once is asked about no more.
        assert again.report["teacher"]["rows_computed"] < outcome.report["teacher"]["rows_computed"] / 2
    assert asked * sum(TOKENS) <= budget
    cost = outcome.report["teacher"]["cost"]
    assert 0 < cost["tokens"] <= budget
    assert cost["malformed"] > 0
    assert f"{cost['malformed']} got an answer that could not be read" in notes_of(outcome)
    assert "speed was not measured" in notes_of(outcome)
    assert "speed" not in outcome.report
    assert outcome.report["teacher"]["model"] == "endpoint:tiny"
    # Nothing that is written holds the key.
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"s3cret" in path.read_bytes() for path in written)


def small_chat(url: str, **keys: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"concurrency": 1, **keys}.items()]
    return (
        f'budget = 300\n{TO_SPORT}\n[teacher.endpoint]\nkind = "chat"\nurl = "{url}"\nmodel = "tiny"\n'
        'descriptions = {sport = "games", tech = "machines", other = "all else"}\n' + "\n".join(lines)
    )


def test_a_budget_that_ends_in_the_middle_ends_the_run_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_PRIVATE_NETWORKS", "127.0.0.0/8")
    with chat() as (url, model):
        outcome = replace(add(tmp_path, small_chat(url, most_tokens=6000)))
        assert model.answered * sum(TOKENS) <= 6000
    assert outcome.stopped == StopReason.BUDGET_SPENT
    assert len(outcome.rounds) == 1
    assert outcome.report["teacher"]["cost"]["unsent"] > 0
    assert "none (the budget of tokens or money was spent" in notes_of(outcome)


@pytest.mark.parametrize(
    ("most", "problem"),
    [
        (100, "no answer for any of 60 held-out texts .*the budget of tokens or money was spent"),
        (3300, "no answer for any row to learn from; .*the budget of tokens or money was spent"),
    ],
)
def test_a_budget_that_ends_before_anything_is_learned_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, problem: str
) -> None:
    monkeypatch.setenv("PINGTI_PRIVATE_NETWORKS", "127.0.0.0/8")
    with chat() as (url, model), pytest.raises(UnavailableError, match=problem):
        replace(add(tmp_path, small_chat(url, most_tokens=most)))
    assert model.answered * sum(TOKENS) <= most


def test_rows_without_an_answer_count_against_the_budget_of_rows(tmp_path: Path) -> None:
    asked: list[str] = []

    def half(batch: list[str]) -> list[str | None]:
        asked.extend(batch)
        return [yes_or_no(text) if len(text) % 2 else None for text in batch]

    entry = add(tmp_path, 'model = "python:half"\nbudget = 200')
    entry.path.write_text(entry.path.read_text().replace("precision = 0.8", "precision = 1.0"))
    outcome = replace(Workspace(tmp_path).task("sport"), function=half)
    assert 0 < outcome.best.holdout.rows < 60
    assert len(outcome.rounds) > 1
    assert len(asked) <= 200


def test_a_classifier_endpoint_teaches_a_promoted_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_PRIVATE_NETWORKS", "127.0.0.0/8")
    monkeypatch.setattr(requests, "time", SimpleNamespace(sleep=lambda _: None))
    faults, lock = cycle([200, 503, 429, 200, 500]), threading.Lock()

    def answer(request: BaseHTTPRequestHandler) -> None:
        texts = json.loads(request.rfile.read(int(request.headers["Content-Length"])))["inputs"]
        with lock:
            status = next(faults)
        scores = [{"LABEL_1": 0.9, "LABEL_0": 0.1}, {"LABEL_1": 0.1, "LABEL_0": 0.9}]
        given = [scores[yes_or_no(text) == "no"] for text in texts]
        document = [[{"label": name, "score": p} for name, p in one.items()] for one in given]
        answer_json(request, document, status)

    with server(answer) as url:
        section = f'budget = 300\n[teacher.endpoint]\nkind = "classifier"\nurl = "{url}/classify"\n'
        entry = add(tmp_path, f'{section}labels = ["LABEL_0", "LABEL_1"]')
        check_task("sport", entry.definition, entry.workspace, entry.path)
        outcome = replace(entry)
    assert outcome.passed
    promotion.promote(entry, outcome.version, why="passed")
    assert "LABEL_0 = no, LABEL_1 = yes" in notes_of(outcome)
    assert outcome.report["teacher"]["cost"]["failed"] == 0


def test_networks_that_are_none_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGTI_PRIVATE_NETWORKS", "10.0.0.1/8")
    with pytest.raises(InputError, match=r"PINGTI_PRIVATE_NETWORKS: 10\.0\.0\.1/8 has host bits set"):
        replace(add(tmp_path, '[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"'))


def test_answers_without_log_probabilities_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGTI_PRIVATE_NETWORKS", "127.0.0.0/8")
    with chat("nologprobs") as (url, _):
        outcome = replace(add(tmp_path, small_chat(url)))
    count = outcome.report["teacher"]["cost"]["without_logprobs"]
    assert f"{count} answers of the endpoint came without log probabilities" in notes_of(outcome)


def test_labelled_rows_measure_whoever_answers_in_a_models_place(tmp_path: Path) -> None:
    texts = made_texts(400, seed=77)[0][:200]
    lines = [json.dumps({"text": text, "label": yes_or_no(text)}) for text in texts]
    (tmp_path / "seed.jsonl").write_text("\n".join(lines))
    outcome = replace(
        add(tmp_path, 'model = "python:words"\nlabels = "../seed.jsonl"\nbudget = 300'),
        function=lambda batch: [yes_or_no(text) for text in batch],
    )
    quality = outcome.report["teacher"]["quality"]
    assert quality["teacher"] == 1.0
    assert quality["ngram"] > 0.8
    assert "too few to keep some aside" not in notes_of(outcome)  # nobody was fine-tuned


def test_true_labels_too_few_for_a_baseline_are_told(tmp_path: Path) -> None:
    (tmp_path / "true.csv").parent.mkdir(exist_ok=True)
    rows = [f"{text},{yes_or_no(text)}" for text in corpus_texts()[-60:]]
    (tmp_path / "true.csv").write_text("\n".join(["text,label", *rows]))
    entry = add(tmp_path, 'model = "python:words"\nbudget = 300')
    entry.path.write_text(entry.path.read_text().replace("[gate]", '[gate]\nlabels = "../true.csv"'))
    outcome = replace(
        Workspace(tmp_path).task("sport"), function=lambda batch: [yes_or_no(text) for text in batch]
    )
    truth = outcome.report["truth"]
    assert set(truth) == {"student", "teacher"}
    assert f"{truth['teacher']['rows']} rows with true labels are too few for an n-gram model" in notes_of(
        outcome
    )


def test_one_score_of_each_text_makes_a_promoted_student(tmp_path: Path) -> None:
    lines = ["id,p"]
    for number, text in enumerate(corpus_texts()):
        lines.append(f"r{number},{0.9 if yes_or_no(text) == 'yes' else 0.1}")
    (tmp_path / "answers.csv").write_text("\n".join(lines) + "\n")
    columns = '\n[teacher.answer_columns]\nscores = {yes = "p"}'
    entry = add(tmp_path, f'answers = ["../answers.csv"]\nbudget = 300\nthreshold = 0.5{columns}')
    check_task("sport", entry.definition, entry.workspace, entry.path)
    outcome = replace(entry)
    assert outcome.passed
    promotion.promote(entry, outcome.version, why="passed")
    assert outcome.report["teacher"]["label"] == "yes"
    texts = corpus_texts()[:50]
    again = load_teacher_of_version(entry, outcome.version).ask(texts, "again")
    assert again.decided.tolist() == [int(yes_or_no(text) == "yes") for text in texts]


def test_answers_on_file_alone_make_a_student(tmp_path: Path) -> None:
    texts = corpus_texts()
    (tmp_path / "bert_2025").mkdir()
    # Every third row has no answer; one text has two; one is none of the corpus.
    rows = [{"text": text, "label": yes_or_no(text)} for text in texts[: ROWS - 60 : 3] + texts[1:ROWS:3]]
    disputed = texts[0]
    rows += [
        {"text": disputed, "label": "yes"},
        {"text": disputed, "label": "no"},
        {"text": "??", "label": "no"},
    ]
    half = len(rows) // 2
    for name, part in (("a", rows[:half]), ("b", rows[half:])):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / "bert_2025" / f"{name}.parquet")
    entry = add(tmp_path, 'answers = ["../bert_2025/*.parquet"]\nbudget = 300')
    outcome = replace(entry)
    assert outcome.passed
    report = outcome.report
    assert report["teacher"]["model"] == "answers"
    assert report["teacher"]["rows_computed"] == 0
    assert report["corpus"]["without_answer"] > 100
    assert outcome.best.holdout.rows <= 60
    notes = notes_of(outcome)
    assert "1 texts have several answers that differ and were left out" in notes
    for sentence in (
        "are none of the texts that this task is asked about",
        "neither learned from nor measured on",
        "speed was not measured",
        "drift cannot be measured",
    ):
        assert sentence in notes
    promotion.promote(entry, outcome.version, why="passed")
    with pytest.raises(ConflictError, match="stored answers alone"):
        agreement_with_teacher(entry, outcome.version, ["the goal"])
    answered = {row["text"] for row in rows} - {disputed}
    learned = warm_start.read(entry, outcome.report["teacher"]["fingerprint"])
    assert learned
    assert len(warm_start.find(sorted(answered), learned)[0]) == len(learned)


def test_scores_by_ids_and_the_newest_answer_counts(tmp_path: Path) -> None:
    lines = ["id,p_sport,p_rest,day"]
    for number, text in enumerate(corpus_texts()):
        right = 0.9 if yes_or_no(text) == "yes" else 0.2
        lines.append(f"r{number},{1 - right:.1f},{right:.1f},2024-01-01")  # an older model had it wrong
        lines.append(f"r{number},{right:.1f},{1 - right:.1f},2025-01-01")
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "answers.csv").write_text("\n".join(lines) + "\n")
    entry = add(
        tmp_path,
        'answers = ["../answers.csv"]\nbudget = 300\nmap = {sport = "yes", rest = "no"}\n'
        "[teacher.answer_columns]\n"
        'time = "day"\nscores = {sport = "p_sport", rest = "p_rest"}',
    )
    outcome = replace(entry)
    assert outcome.passed
    assert "differ" not in notes_of(outcome)


def test_stored_answers_go_before_a_function_and_the_rest_is_asked(tmp_path: Path) -> None:
    texts = corpus_texts()
    (tmp_path / "answers.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": yes_or_no(text)}) + "\n" for text in texts[::2])
    )
    asked: list[str] = []

    def classify(batch: list[str]) -> list[list[float]]:
        asked.extend(batch)
        return [[0.05, 0.95] if yes_or_no(text) == "yes" else [0.95, 0.05] for text in batch]

    entry = add(tmp_path, 'model = "python:words"\nanswers = ["../answers.jsonl"]\nbudget = 300')
    outcome = replace(entry, function=classify)
    assert outcome.passed
    assert asked
    assert not set(asked) & set(texts[::2])
    assert len(asked) == len(set(asked)) == outcome.report["teacher"]["rows_computed"]
    with pytest.raises(UnavailableError, match=r"python:words.*pingti\.replace"):
        replace(entry)


def test_a_function_that_answers_labels_and_a_sentence_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bert(tmp_path / "sentences", [word for words in WORDS.values() for word in words])
    entry = add(tmp_path, 'model = "python:words"\nvectors = "../sentences"\nbudget = 300')
    outcome = replace(entry, function=lambda batch: [yes_or_no(text) for text in batch])
    assert outcome.passed
    from teacher.sources.sentence_vectors import SentenceModel

    model = SentenceModel.load(tmp_path / "sentences", device="cpu")
    vectors = model.embed(["the goal", "the goal", "chip code server robot"])
    assert vectors.shape == (3, 32)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert not np.allclose(vectors[0], vectors[2], atol=1e-3)
    inputs, outputs = model.token_vectors(("goal", "chip"))
    assert inputs.shape == outputs.shape == (2, 32)


def test_a_similarity_student_gives_vectors_to_a_teacher_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    texts = pa.array([" ".join(rng.choice(words, 5)) for words in WORDS.values() for _ in range(40)])
    near = np.repeat(np.eye(len(WORDS), 16, dtype=np.float32), 40, axis=0)
    student = fit(texts, near, width=8, epochs=3, seed=0)
    student.save(tmp_path / "similar")
    entry = add(tmp_path, 'model = "python:words"\nvectors = "../similar"\nbudget = 300')
    source = open_vectors(entry, None)
    assert source is not None
    vectors = source.embed(["the goal", "goal", "chip code"])
    assert vectors.shape == (3, 8)
    np.testing.assert_allclose(vectors, student.encode(["the goal", "goal", "chip code"]), atol=1e-6)
    alone, in_use = source.token_vectors(("goal", "chip"))
    assert alone.shape == in_use.shape == (2, 8)

    def none_is_loaded(*_: object, **__: object) -> None:
        raise AssertionError("a sentence model was loaded")

    monkeypatch.setattr("teacher.sources.sentence_vectors.SentenceModel.load", none_is_loaded)
    seen: list[int] = []
    embed = SimilarityVectors.embed
    monkeypatch.setattr(
        SimilarityVectors, "embed", lambda self, texts: seen.append(len(texts)) or embed(self, texts)
    )
    outcome = replace(entry, function=lambda batch: [yes_or_no(text) for text in batch])
    assert outcome.passed
    assert sum(seen) > 200  # rows that the teacher was asked about, and the vocabulary


def test_vectors_of_a_folder_that_is_a_classifier_are_refused(tmp_path: Path) -> None:
    entry = add(tmp_path, 'model = "python:words"\nvectors = "../sport"\nbudget = 300')
    vocabulary = Vocabulary.build(pa.array(["the goal"]))
    network = TextCNN(vocabulary.size, 2, Architecture(), np.random.default_rng(0))
    Student.from_network(network, vocabulary, ["no", "yes"], {}).save(tmp_path / "sport")
    with pytest.raises(ArtifactError, match=r"^teacher\.vectors: .*a classifier, not a similarity student"):
        open_vectors(entry, None)


def test_more_labels_than_subclasses_are_divided_without_vectors(tmp_path: Path) -> None:
    section = 'model = "python:topics"\nbudget = 300\nmap = {sport = "yes", tech = "no", other = "no"}'
    entry = add(tmp_path, section)
    entry.path.write_text(entry.path.read_text().replace("[student]", "[student]\nsubclasses = 2"))
    entry = Workspace(tmp_path).task("sport")
    outcome = replace(
        Workspace(tmp_path).task("sport"), function=lambda batch: [topic(text) for text in batch]
    )
    assert outcome.passed
    assert outcome.report["subclasses"] == {"no": [["tech", "other"]], "yes": [["sport"]]}


def test_a_teacher_that_answers_nothing_is_told_in_one_sentence(tmp_path: Path) -> None:
    entry = add(tmp_path, 'model = "python:nothing"\nbudget = 300')
    with pytest.raises(UnavailableError, match="no answer for any of 60 held-out texts"):
        replace(entry, function=lambda batch: [None] * len(batch))


@pytest.mark.parametrize(
    ("lines", "keys", "problem"),
    [
        ([{"text": "a"}], "", "no column 'label'"),
        ([{"label": "yes"}], "", "neither a text nor an id"),
        ([{"text": "a", "label": None}], "", "hold no answer"),
        ([{"text": "a", "label": "maybe"}], 'map = {maybe = "yes", sure = "no"}', "no label 'sure'"),
        ([{"text": "a", "label": "yes"}], "", "too few texts of the corpus have an answer"),
        (
            [{"text": "a", "n": 0.0, "y": 0.0}],
            'answer_columns = {scores = {no = "n", yes = "y"}}',
            "row 1: its scores",
        ),
        ([{"text": "a", "label": "yes"}], 'answer_columns = {time = "day"}', "no column 'day'"),
    ],
)
def test_answers_that_cannot_be_used(
    tmp_path: Path, lines: list[dict[str, Any]], keys: str, problem: str
) -> None:
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    entry = add(tmp_path, f'answers = ["../answers.jsonl"]\n{keys}')
    with pytest.raises((InputError, DefinitionError), match=problem):
        replace(entry)


@pytest.mark.parametrize(
    ("teacher", "problem"),
    [
        ("budget = 300", "nobody answers: needed is a model, answers or an endpoint"),
        ('model = "a"\n[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"', "both given"),
        ('model = "task:a"\nanswers = ["a.csv"]', "answers belong to the task that has the teacher"),
        ('[teacher.endpoint]\nkind = "chat"\nurl = "https://a.example"', "model is missing"),
        (
            '[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"\nmost_tokens = 5',
            "counts no tokens",
        ),
        (
            '[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"\nkey_variable = "AWS_SECRET"',
            "key_variable",
        ),
        ('[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"\nkey = "s3"', "unknown key"),
        *(
            (f'[teacher.endpoint]\nkind = "classifier"\nurl = "{url}"', problem)
            for url, problem in (
                ("https://user:s3cret@a.example/", "holds a key or a password; key_variable names"),
                ("https://a.example/?v=1&api_key=s3cret", "holds a key or a password; key_variable names"),
                ("https://a.example/?access_token=s3cret", "holds a key or a password; key_variable names"),
                ("https:// a b", "is not an address that can be used"),
            )
        ),
    ],
)
def test_definitions_that_are_refused(tmp_path: Path, teacher: str, problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem) as raised:
        add(tmp_path, teacher)
    assert "s3cret" not in str(raised.value)


def test_an_address_with_parameters_that_are_no_key_is_taken(tmp_path: Path) -> None:
    url = "https://a.example/openai/chat?api-version=2024-06-01&max_tokens=5&monkey=1"
    entry = add(tmp_path, f'[teacher.endpoint]\nkind = "classifier"\nurl = "{url}"')
    assert entry.definition.teacher.endpoint is not None


@pytest.mark.parametrize(
    ("teacher", "problem"),
    [
        ('model = "python:f"\nlabel = "x"', "teacher.label: 'x': of this model's labels one holds"),
        ('model = "python:f"\nmap = {a = "yes", "*" = "no"}', "no label 'a'; the teacher has no, yes"),
        (
            'label = "x"\n[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"',
            "teacher.label: 'x': of this model's labels one holds",
        ),
        (
            '[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"\nlabels = ["sport", "rest"]',
            "teacher.map says which label",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_a_task_is_added(
    tmp_path: Path, teacher: str, problem: str
) -> None:
    entry = add(tmp_path, teacher)
    with pytest.raises(DefinitionError, match=problem):
        check_task("sport", entry.definition, entry.workspace, entry.path)


def test_answers_without_names_are_taken_by_their_order_and_told(tmp_path: Path) -> None:
    lines = [f"{text},LABEL_{int(yes_or_no(text) == 'yes')}" for text in corpus_texts()]
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "answers.csv").write_text("\n".join(["text,label", *lines]))
    shown: list[str] = []
    outcome = replace(
        add(tmp_path, 'answers = ["../answers.csv"]\nbudget = 300'),
        progress=lambda what, *_: shown.append(what),
    )
    assert outcome.passed
    note = "taken for the classes by their order: LABEL_0 = no, LABEL_1 = yes"
    assert note in notes_of(outcome)
    assert any(note in line for line in shown)


@pytest.mark.parametrize(
    ("key", "problem"),
    [("s3\tcret", "control character"), (" \n", "the key is empty"), ("s3crét", "needed is ASCII")],
)
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, problem: str
) -> None:
    monkeypatch.setenv("PINGTI_TEACHER_KEY", key)
    section = '[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"\n'
    section += 'key_variable = "PINGTI_TEACHER_KEY"'
    with pytest.raises(DefinitionError, match=problem) as raised:
        replace(add(tmp_path, section))
    assert "s3" not in str(raised.value)


def test_a_key_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINGTI_TEACHER_KEY", raising=False)
    section = '[teacher.endpoint]\nkind = "classifier"\nurl = "https://a.example"\n'
    section += 'key_variable = "PINGTI_TEACHER_KEY"'
    with pytest.raises(DefinitionError, match="PINGTI_TEACHER_KEY of the environment is not set"):
        replace(add(tmp_path, section))

"""A chat model behind a real HTTP server, with the faults that real ones have."""

import json
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pingti.errors import InputError, UnavailableError
from teacher.endpoints import requests
from teacher.endpoints.chat import ChatTeacher
from teacher.endpoints.settings import Endpoint
from teacher.sources.kept import KeptAnswers
from tests.support.endpoints import LOOPBACK, TOKENS, answer_json, chat, completion, topic
from tests.support.http_servers import server

LABELS = ("sport", "tech", "other")
TEXTS = ["goal match", "chip code", "bread film", "team goal"]
DECIDED = [0, 1, 2, 0]


def endpoint(url: str, **changes: Any) -> Endpoint:
    values = {
        "labels": LABELS,
        "model": "tiny",
        "private_networks": LOOPBACK,
        "concurrency": 1,
        "pause": 0.001,
        **changes,
    }
    return Endpoint(url=url, **values)


def decided(probabilities: np.ndarray) -> Sequence[int]:
    return [int(row.argmax()) if np.isfinite(row).all() else -1 for row in probabilities]


SIXTY = [f"goal number {number}" for number in range(60)]


def slowly(text: str) -> str:
    time.sleep(0.02)
    return topic(text)


def ask_alone(url: str, folder: Path) -> None:
    """Ask about 60 texts, in a process that may be killed."""
    teacher = ChatTeacher(endpoint(url, concurrency=4))
    KeptAnswers.open(teacher, folder).score(SIXTY)


def kept_alone(url: str, folder: Path) -> set[str]:
    """Those of the 60 texts whose answers are on disk."""
    kept = KeptAnswers.open(ChatTeacher(endpoint(url, concurrency=4)), folder).cached(SIXTY)
    return {text for text, there in zip(SIXTY, kept.tolist(), strict=True) if there}


def test_probabilities_come_from_log_probabilities() -> None:
    with chat() as (url, model):
        teacher = ChatTeacher(endpoint(url, instruction="Which topic?", descriptions={"tech": "machines"}))
        probabilities = teacher.score(TEXTS)
    assert decided(probabilities) == DECIDED
    assert probabilities.max(axis=1) == pytest.approx([0.9005] * 4, abs=1e-3)
    assert probabilities.sum(axis=1) == pytest.approx([1.0] * 4)
    system = model.requests[0]["messages"][0]["content"]
    assert all(part in system for part in ("Which topic?", "- tech: machines", "- sport"))
    schema = model.requests[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["label"]["enum"] == list(LABELS)
    assert teacher.cost.tokens == 4 * sum(TOKENS)
    assert (teacher.cost.rows, teacher.cost.malformed, teacher.cost.failed) == (4, 0, 0)


def test_an_answer_without_log_probabilities_is_counted() -> None:
    with chat("", "nologprobs") as (url, _):
        teacher = ChatTeacher(endpoint(url))
        probabilities = teacher.score(TEXTS)
        assert teacher.cost.without_logprobs == 2
        unasked = ChatTeacher(endpoint(url, logprobs=False))
        unasked.score(TEXTS)
    assert sorted(probabilities.max(axis=1).round(2).tolist()) == pytest.approx([0.9, 0.9, 1.0, 1.0])
    assert unasked.cost.without_logprobs == 0  # nobody wanted them


def test_without_log_probabilities_votes_are_shares() -> None:
    answers = iter(["sport", "sport", "tech", "sport"])
    with chat("nologprobs", label=lambda _: next(answers)) as (url, model):
        probabilities = ChatTeacher(endpoint(url, votes=4)).score(["goal"])
    assert len(model.requests) == 4
    assert model.requests[0]["temperature"] == 1.0
    assert probabilities[0].tolist() == pytest.approx([0.75, 0.25, 0.0])


@pytest.mark.parametrize("fault", ["500", "429", "broken"])
def test_a_fault_that_passes_is_tried_again(fault: str) -> None:
    with chat(fault, "") as (url, model):
        teacher = ChatTeacher(endpoint(url))
        assert decided(teacher.score(TEXTS)) == DECIDED
    assert len(model.requests) == 2 * len(TEXTS)
    assert teacher.cost.failed == 0


def test_a_slow_answer_is_given_up_and_its_tokens_may_have_been_spent() -> None:
    with chat("slow", "") as (url, _):
        teacher = ChatTeacher(endpoint(url, seconds=0.4))
        assert decided(teacher.score(TEXTS[:1])) == DECIDED[:1]
    assert teacher.cost.tokens > sum(TOKENS)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [("7", 7.0), ("1.5", 1.5), ("90", 90.0), ("86400", 600.0), ("-1", 0.0), ("soon", 0.0)],
)
def test_retry_after_is_waited_for(monkeypatch: pytest.MonkeyPatch, asked: str, waited: float) -> None:
    waits: list[float] = []
    monkeypatch.setattr(requests, "time", SimpleNamespace(sleep=waits.append))
    answer = SimpleNamespace(status=429, headers={"retry-after": asked}, body=b"")
    teacher = ChatTeacher(endpoint("http://127.0.0.1:9", attempts=3))
    monkeypatch.setattr("pingti.http.outbound.Outbound.ask", lambda *_, **__: answer)
    assert decided(teacher.score(["goal"])) == [-1]
    assert waits == pytest.approx([waited, waited], abs=0.01)


@pytest.mark.parametrize("fault", ["malformed", "html", "huge"])
def test_an_answer_that_cannot_be_read_is_counted_and_left_out(fault: str) -> None:
    with chat("", fault) as (url, _):
        teacher = ChatTeacher(endpoint(url))
        assert decided(teacher.score(TEXTS)) == [0, -1, 2, -1]
    assert (teacher.cost.rows, teacher.cost.malformed, teacher.cost.failed) == (4, 2, 0)
    assert {"malformed": "I think it is", "html": "<html>", "huge": "larger than the limit"}[
        fault
    ] in teacher.cost.first_malformed


@pytest.mark.parametrize("concurrency", [1, 6])
def test_no_request_goes_beyond_the_budget_of_tokens(concurrency: int) -> None:
    budget = 2500
    with chat("", "500") as (url, model):
        teacher = ChatTeacher(endpoint(url, most_tokens=budget, concurrency=concurrency))
        probabilities = teacher.score(TEXTS * 50)
    assert model.answered * sum(TOKENS) <= budget
    assert teacher.cost.tokens <= budget
    answered = int(np.isfinite(probabilities).all(axis=1).sum())
    assert 20 < answered < 200
    assert teacher.cost.failed == 200 - answered


@pytest.mark.parametrize("concurrency", [1, 8])
def test_texts_of_many_tokens_behind_texts_of_few_stay_within_the_budget(concurrency: int) -> None:
    spent: list[int] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        document = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        text = document["messages"][1]["content"]
        sent = 40 + (len(text) // 4 if text.isascii() else len(text.encode()))
        usage = {"prompt_tokens": sent, "completion_tokens": 60}
        spent.append(sent + 60)
        answer_json(request, {**completion(topic(text)), "usage": usage})

    with server(answer) as url:
        teacher = ChatTeacher(endpoint(url, most_tokens=6000, concurrency=concurrency))
        teacher.score([f"goal number {number}" for number in range(30)])
        before = sum(spent)
        teacher.score([f"目标{number}" + "球队比赛" * 60 for number in range(40)])
    assert before < sum(spent) <= 6000
    assert teacher.cost.tokens == sum(spent)


def test_what_a_gateway_gave_up_may_have_been_worked_on() -> None:
    with chat("504", "") as (url, _):
        teacher = ChatTeacher(endpoint(url))
        teacher.score(TEXTS[:1])
    assert teacher.cost.tokens > sum(TOKENS)


def test_money_is_bounded_too() -> None:
    with chat() as (url, _):
        teacher = ChatTeacher(endpoint(url, most_money=0.01, price_in=10.0, price_out=20.0))
        teacher.score(TEXTS * 20)
    assert 0.002 < teacher.cost.money <= 0.01
    assert teacher.cost.failed > 0


def test_the_key_goes_along_and_stays_out_of_errors() -> None:
    settings = {"key": "s3cret", "key_variable": "PINGTI_TEACHER_KEY"}
    with chat() as (url, model):
        ChatTeacher(endpoint(url, **settings)).score(["goal"])
    assert model.headers[0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(endpoint(url, **settings))
    with (
        chat("401") as (url, model),
        pytest.raises(UnavailableError, match="401; look at the key in PINGTI_TEACHER_KEY") as raised,
    ):
        ChatTeacher(endpoint(url, **settings)).score(TEXTS * 10)
    assert "s3cret" not in str(raised.value)
    assert len(model.requests) == 1  # no further request after one that is hopeless


def test_no_error_shows_a_key_that_no_header_can_carry() -> None:
    settings = {"key": "s3cret\n", "key_variable": "PINGTI_TEACHER_KEY", "attempts": 1}
    with (
        chat() as (url, _),
        pytest.raises(UnavailableError, match="cannot be written as HTTP") as raised,
    ):
        ChatTeacher(endpoint(url, **settings)).score(TEXTS * 10)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


def test_what_was_answered_before_an_error_is_kept_and_not_asked_about_again(tmp_path: Path) -> None:
    texts = [f"goal number {number}" for number in range(40)]
    with chat(*[""] * 25, "401") as (url, _):
        source = KeptAnswers.open(ChatTeacher(endpoint(url, concurrency=3)), tmp_path)
        with pytest.raises(UnavailableError, match="401"):
            source.score(texts)
    assert int(source.cached(texts).sum()) >= 23  # but for those under way
    with chat() as (url, model):
        again = KeptAnswers.open(ChatTeacher(endpoint(url, concurrency=3)), tmp_path)
        kept = again.cached(texts)
        assert decided(again.score(texts).probabilities) == [0] * 40
    asked = {request["messages"][1]["content"] for request in model.requests}
    assert asked == {text for text, there in zip(texts, kept.tolist(), strict=True) if not there}


def test_a_kill_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.teacher.endpoints.test_chat import ask_alone; "
        "ask_alone(sys.argv[1], Path(sys.argv[2]))"
    )
    with chat("", "", "", label=slowly) as (url, model):
        process = subprocess.Popen([sys.executable, "-c", script, url, str(tmp_path)])
        while len(list(tmp_path.glob("*/*.arrow"))) < 3 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.wait()
        kept = kept_alone(url, tmp_path)
        asked_before = Counter(request["messages"][1]["content"] for request in model.requests)
        ask_alone(url, tmp_path)
    assert len(kept) >= 12  # a segment of four answers at least is written as soon as they are there
    assert kept <= set(asked_before)
    asked = Counter(request["messages"][1]["content"] for request in model.requests)
    assert len(asked) == 60
    assert {text for text, times in asked.items() if times > 1} == set(asked_before) - kept


def test_a_service_that_answers_nothing_ends_the_run() -> None:
    with (
        chat("500") as (url, _),
        pytest.raises(UnavailableError, match="answers 500; so ended 24 requests in a row"),
    ):
        ChatTeacher(endpoint(url, attempts=2)).score(TEXTS * 10)


def test_a_private_address_is_reached_only_where_it_is_allowed() -> None:
    with chat() as (url, model):
        closed = endpoint(url, private_networks=())
        with pytest.raises(InputError, match="PINGTI_PRIVATE_NETWORKS"):
            requests.check_address(closed)
        with pytest.raises(InputError, match="not allowed"):
            ChatTeacher(closed).score(["goal"])
    assert model.requests == []


def test_the_fingerprint_is_of_model_and_prompt() -> None:
    first = ChatTeacher(endpoint("http://a.example")).fingerprint
    assert ChatTeacher(endpoint("http://b.example", concurrency=3)).fingerprint == first
    for change in ({"model": "other"}, {"instruction": "x"}, {"labels": LABELS[:2]}, {"votes": 3}):
        assert ChatTeacher(endpoint("http://a.example", **change)).fingerprint != first

"""A chat model behind a real HTTP server, with the faults that real ones have."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pingti.errors import InputError, UnavailableError
from teacher.endpoints import requests
from teacher.endpoints.chat import ChatTeacher
from teacher.endpoints.settings import Endpoint
from tests.support.endpoints import LOOPBACK, TOKENS, chat

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


def test_retry_after_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(requests, "time", SimpleNamespace(sleep=waits.append))
    answer = SimpleNamespace(status=429, headers={"retry-after": "7"}, body=b"")
    teacher = ChatTeacher(endpoint("http://127.0.0.1:9", attempts=3))
    monkeypatch.setattr("pingti.http.outbound.Outbound.ask", lambda *_, **__: answer)
    assert decided(teacher.score(["goal"])) == [-1]
    assert waits == [7.0, 7.0]


@pytest.mark.parametrize("fault", ["malformed", "html"])
def test_an_answer_that_cannot_be_read_is_counted_and_left_out(fault: str) -> None:
    with chat("", fault) as (url, _):
        teacher = ChatTeacher(endpoint(url))
        assert decided(teacher.score(TEXTS)) == [0, -1, 2, -1]
    assert (teacher.cost.rows, teacher.cost.malformed, teacher.cost.failed) == (4, 2, 0)


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

import math
from typing import Any

import pytest

from teacher.endpoints.logprobs import label_of, probabilities_of


def answer(content: str, *steps: tuple[str, float, dict[str, float]]) -> dict[str, Any]:
    tokens = [
        {
            "token": taken,
            "logprob": math.log(chance),
            "top_logprobs": [{"token": other, "logprob": math.log(p)} for other, p in others.items()],
        }
        for taken, chance, others in steps
    ]
    return {"choices": [{"message": {"content": content}, "logprobs": {"content": tokens}}]}


def test_labels_of_one_beginning_are_told_apart_by_later_tokens() -> None:
    # "not_spam" and "not_ham" share their first token; "yes" is an alternative to it.
    given = answer(
        '{"label": "not_spam"}',
        ('{"label": "', 1.0, {}),
        ("not", 0.8, {"not": 0.8, "yes": 0.2}),
        ("_spam", 0.75, {"_spam": 0.75, "_ham": 0.25}),
        ('"}', 1.0, {}),
    )
    read = probabilities_of(given, ["yes", "not_spam", "not_ham"], as_json=True)
    assert read is not None
    assert read.tolist() == pytest.approx([0.2, 0.6, 0.2])


def test_a_token_may_hold_a_part_of_the_frame() -> None:
    given = answer(
        '{"label":"no"}', ('{"', 1.0, {}), ('label":"n', 0.7, {'label":"y': 0.3}), ('o"}', 1.0, {})
    )
    read = probabilities_of(given, ["yes", "no"], as_json=True)
    assert read is not None
    assert read.tolist() == pytest.approx([0.3, 0.7])


def test_a_label_that_begins_another_ends_with_its_quote() -> None:
    given = answer(
        '{"label": "a"}', ('{"label": "', 1.0, {}), ("a", 1.0, {}), ('"}', 0.9, {'"}': 0.9, "b": 0.1})
    )
    read = probabilities_of(given, ["a", "ab"], as_json=True)
    assert read is not None
    assert read.tolist() == pytest.approx([0.9, 0.1])


def test_a_choice_is_the_whole_text() -> None:
    given = answer("体育", ("体", 0.6, {"科": 0.4}), ("育", 1.0, {}))
    read = probabilities_of(given, ["体育", "科技"], as_json=False)
    assert read is not None
    assert read.tolist() == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize(
    "given",
    [
        None,
        "text",
        {},
        {"choices": []},
        {"choices": [{"message": {"content": None}}]},
        {"choices": [{"message": {"content": "yes"}}]},
        {"choices": [{"message": {"content": '{"label": "maybe"}'}}]},
        {"choices": [{"message": {"content": '{"label": ["yes"]}'}}]},
        {"choices": [{"message": {"content": '["label"]'}}]},
    ],
)
def test_what_is_malformed_gives_no_label(given: Any) -> None:
    assert label_of(given, ["yes", "no"], as_json=True) is None
    assert probabilities_of(given, ["yes", "no"], as_json=True) is None


def step(token: Any, logprob: Any = -0.1, **others: Any) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "top_logprobs": [], **others}


FRAME = step('{"label": "', 0.0)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        {"content": None},
        {"content": []},
        {"content": [{}]},
        {"content": "yes"},
        {"content": {"token": "yes"}},
        {"content": [FRAME]},
        {"content": [FRAME, {"token": "yes"}]},
        {"content": [FRAME, step("yes", None)]},
        {"content": [FRAME, step("yes", math.nan)]},
        {"content": [FRAME, step(None)]},
        {"content": [FRAME, step(7)]},
        {"content": [FRAME, step("yes", top_logprobs=[{"token": "no"}])]},
        {"content": [FRAME, step("yes", top_logprobs=["no"])]},
    ],
)
def test_missing_log_probabilities_leave_the_label(logprobs: Any) -> None:
    given = {"choices": [{"message": {"content": '{"label": "yes"}'}, "logprobs": logprobs}]}
    assert label_of(given, ["yes", "no"], as_json=True) == "yes"
    assert probabilities_of(given, ["yes", "no"], as_json=True) is None

import datetime
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pingti.errors import Fault
from pingti.validation import dotted, errors_at, faults_of, sentence


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(default=1, le=9)
    at: datetime.time | None = None


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    words: tuple[str, ...] = Field(default=("a",), min_length=1, max_length=3)
    parts: dict[str, Part] = Field(default={}, max_length=2)
    listed: tuple[Annotated[Part, Field()], ...] = ()
    one: Part | None = None
    named: dict[Annotated[str, Field(min_length=1)], int] = {}
    kind: Literal["big", "small"] = "big"

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.name == "wrong":
            raise errors_at([("'{wrong}' is no name", ("parts", "a/b"))])
        if self.name == "bad":
            raise ValueError("a bad name")
        return self


def errors(value: Any) -> list[Any]:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(value)
    return caught.value.errors(include_url=False)


def only(value: Any, model: type[BaseModel] | None = None, *, show_values: bool = False) -> tuple[str, str]:
    (fault,) = faults_of(errors({"name": "x", **value}), model, show_values=show_values)
    return str(fault.pointer), fault.detail


@pytest.mark.parametrize(
    ("value", "pointer", "detail"),
    [
        ({"words": "abc"}, "/words", "needed is a list"),
        ({"words": []}, "/words", "needed is a list of at least 1"),
        ({"words": ["a"] * 4}, "/words", "needed is a list of at most 3"),
        ({"parts": []}, "/parts", "needed is an object"),
        ({"parts": {key: {} for key in "abc"}}, "/parts", "needed is an object of at most 2"),
        ({"parts": {"a/b~c": 7}}, "/parts/a~1b~0c", "needed is an object"),
        ({"one": {"size": 10}}, "/one/size", "Input should be less than or equal to 9"),
        ({"name": 5}, "/name", "Input should be a valid string"),
        ({"nmae": 5}, "/nmae", "there is no such field"),
        ({"words": [5]}, "/words/0", "Input should be a valid string"),  # and not: at least 1
        ({"named": {"": 1}}, "/named/", "the key itself: String should have at least 1 character"),
        ({"name": "bad"}, "", "a bad name"),
        ({"name": "wrong"}, "/parts/a~1b", "'{wrong}' is no name"),
    ],
)
def test_a_fault_of_a_body_has_its_place_and_no_word_of_python(value: Any, pointer: str, detail: str) -> None:
    assert only(value) == (pointer, detail)


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ({"nmae": 5}, "unknown key; allowed are kind, listed, name, named, one, parts, words"),
        ({"parts": {"a": {"sise": 1}}}, "unknown key; allowed are at, size"),
        ({"listed": [{}, {"sise": 1}]}, "unknown key; allowed are at, size"),
        ({"one": {"sise": 1}}, "unknown key; allowed are at, size"),
    ],
)
def test_of_an_unknown_key_of_a_model_the_keys_are_named_that_are_allowed(value: Any, detail: str) -> None:
    assert only(value, Whole)[1] == detail


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("big ", "'big '"),
        (True, "true"),
        (None, "null"),
        ([1, False, "x"], "[1, false, 'x']"),
        ({"a": True, "b": {"c": [False]}}, "{a = true, b = {c = [false]}}"),
        (datetime.time(2), "02:00:00"),
        ("x" * 300, "'" + "x" * 199 + "..."),
    ],
)
def test_a_value_that_is_not_allowed_is_shown_as_it_was_written(value: Any, shown: str) -> None:
    assert only({"kind": value}, show_values=True) == (
        "/kind",
        f"{shown} is not allowed: input should be 'big' or 'small'",
    )


def test_a_definition_has_tables_and_a_body_has_objects() -> None:
    assert only({"parts": []}, Whole) == ("/parts", "needed is a table")
    assert only({"parts": {key: {} for key in "abc"}}, Whole) == ("/parts", "needed is a table of at most 2")


def test_all_faults_are_listed_and_the_first_is_told_in_a_sentence() -> None:
    faults = faults_of(errors({"words": [1, "a", 2], "one": {"size": "many"}}), Whole)
    assert [fault.pointer for fault in faults] == ["/name", "/words/0", "/words/2", "/one/size"]
    assert sentence(faults) == "name: this key is missing (and 3 more)"
    assert sentence(faults[1:2], lambda pointer: f"#{pointer}") == "#/words/0: Input should be a valid string"
    assert sentence([Fault(detail="a bad name", pointer="")]) == "a bad name"
    assert sentence(faults_of(errors({}))) == "name: this is needed"


def test_a_pointer_is_a_dotted_key() -> None:
    assert [dotted(pointer) for pointer in ("", "/a", "/a~1b/0/c~0d")] == ["", "a", "a/b.0.c~d"]

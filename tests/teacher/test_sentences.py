"""Sentence teachers: pooled states of a BERT, held against the pooling written out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from pingti.errors import InputError, UnavailableError
from teacher.sentences import SentenceTeacher
from tests.support.teachers import write_bert

TEXTS = ["a short text", "", "another text that is longer than the first one", "x"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bert(tmp_path / "bert", [])
    return tmp_path / "bert"


def write_pooling(folder: Path, *modes: str) -> None:
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, **{f"pooling_mode_{mode}": True for mode in modes}}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def states_of(folder: Path, text: str) -> np.ndarray:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()


@pytest.mark.parametrize("modes", [(), ("mean_tokens",), ("cls_token",)])
def test_states_are_pooled_as_the_folder_says(folder: Path, modes: tuple[str, ...]) -> None:
    if modes:
        write_pooling(folder, *modes)
    vectors = SentenceTeacher(str(folder), device="cpu").encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        states = states_of(folder, text)
        pooled = states[0] if modes == ("cls_token",) else states.mean(axis=0)
        assert vector == pytest.approx(pooled / np.linalg.norm(pooled), abs=1e-5)


@pytest.mark.parametrize("modes", [("max_tokens",), ("mean_tokens", "max_tokens")])
def test_another_pooling_is_refused(folder: Path, modes: tuple[str, ...]) -> None:
    write_pooling(folder, *modes)
    with pytest.raises(InputError, match=r"pooled by .*max_tokens; allowed are the mean"):
        SentenceTeacher(str(folder))


def test_a_folder_that_is_not_there_and_a_text_that_is_none_are_refused(folder: Path) -> None:
    with pytest.raises((InputError, UnavailableError), match="nowhere"):
        SentenceTeacher("/nowhere")
    with pytest.raises(InputError, match="text 1 is not valid Unicode"):
        SentenceTeacher(str(folder)).encode(["a", "\ud800"])

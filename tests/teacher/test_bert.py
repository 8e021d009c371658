import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from pingti.errors import ArtifactError, InputError, UnavailableError
from teacher.bert import Teacher, batches, describe
from teacher.finetune import Recipe, fine_tune
from teacher.folders import choose_device, quiet

CLASSES = [f"class {letter}" for letter in "kjihgfedcba"]  # eleven: "10" sorts before "2" as text


@pytest.fixture(scope="module")
def tuned(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned") / "model"
    rng = np.random.default_rng(0)
    texts = [letter * 3 for letter in "kjihgfedcba"]
    recipe = Recipe(epochs=1, learning_rate=0.01)
    fine_tune(str(tiny_bert), texts, CLASSES, classes=CLASSES, out=out, rng=rng, recipe=recipe)
    return out


@pytest.fixture
def copy(tuned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tuned, tmp_path / "copy"))


def change_json(path: Path, **entries: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_scores_are_those_of_one_text_at_a_time(tuned: Path) -> None:
    rng = np.random.default_rng(7)
    letters = np.array(list("abcdefg 1谁,"))
    texts = [
        "",
        " ",
        "\0",
        "é" * 10,
        "a " * 1000,
        *("".join(rng.choice(letters, n)) for n in rng.integers(0, 90, 300)),
    ]
    done: list[int] = []
    scored = Teacher.load(str(tuned), max_length=40).score(texts, progress=done.append)
    assert scored.probabilities.shape == (305, 11)
    assert scored.vectors.shape == (305, 32)
    assert scored.probabilities.dtype == scored.vectors.dtype == np.float32
    assert sum(done) == 305
    assert len(done) > 3

    with quiet(), torch.inference_mode():
        model = AutoModelForSequenceClassification.from_pretrained(tuned).eval()
        tokenizer = AutoTokenizer.from_pretrained(tuned)
        for row, text in enumerate(texts):
            one = tokenizer([text], truncation=True, max_length=40, return_tensors="pt")
            assert one["input_ids"].shape[1] <= 40
            vector = model.bert(**one).last_hidden_state[0, 0].numpy()
            probability = torch.softmax(model(**one).logits[0], dim=0).numpy()
            np.testing.assert_allclose(scored.probabilities[row], probability, atol=1e-5)
            np.testing.assert_allclose(scored.vectors[row], vector, atol=1e-4)


def test_tokens_have_the_vectors_that_the_model_reads_and_makes(tuned: Path) -> None:
    tokens = ["a", "ab", "谁", "", "a"]
    done: list[int] = []
    inputs, outputs = Teacher.load(str(tuned)).token_vectors(tokens, progress=done.append)
    assert sum(done) == len(tokens)
    assert inputs.dtype == outputs.dtype == np.float32
    with quiet(), torch.inference_mode():
        tokenizer = AutoTokenizer.from_pretrained(tuned)
        model = AutoModelForSequenceClassification.from_pretrained(tuned).eval()
        for row, token in enumerate(tokens):
            read = tokenizer(token, return_tensors="pt")
            states = model(**read, output_hidden_states=True).hidden_states
            np.testing.assert_allclose(outputs[row], states[-1][0].mean(dim=0), atol=1e-5)
            alone = tokenizer(token, add_special_tokens=False)["input_ids"] or [tokenizer.unk_token_id]
            table = model.get_input_embeddings().weight
            np.testing.assert_allclose(inputs[row], table[alone].mean(dim=0), atol=1e-6)
    assert Teacher.load(str(tuned)).token_vectors([])[1].shape == (0, 32)


def test_one_call_gives_one_answer_bit_for_bit(tuned: Path) -> None:
    texts = [f"text {number}" * (number % 7) for number in range(100)]
    first = Teacher.load(str(tuned)).score(texts)
    second = Teacher.load(str(tuned)).score(texts)
    assert np.array_equal(first.probabilities, second.probabilities)
    assert np.array_equal(first.vectors, second.vectors)


def test_no_texts_give_empty_arrays(tuned: Path) -> None:
    scored = Teacher.load(str(tuned)).score([])
    assert scored.probabilities.shape == (0, 11)
    assert scored.vectors.shape == (0, 32)


def test_labels_are_in_the_order_of_the_logits(tuned: Path) -> None:
    teacher = Teacher.load(str(tuned))
    assert list(teacher.labels) == CLASSES
    assert teacher.hidden == 32


def test_the_number_of_threads_is_put_back(tuned: Path) -> None:
    before = torch.get_num_threads()
    during = []
    Teacher.load(str(tuned), threads=before + 1).score(
        ["a"], progress=lambda _: during.append(torch.get_num_threads())
    )
    assert during == [before + 1]
    assert torch.get_num_threads() == before


def test_the_fingerprint_follows_what_changes_answers(copy: Path, tuned: Path) -> None:
    original = describe(str(tuned)).fingerprint
    assert len(original) == 32
    (copy / "README.md").write_text("notes")
    assert describe(str(copy)).fingerprint == original
    seen = {original, describe(str(copy), max_length=32).fingerprint}
    weights = load_file(copy / "model.safetensors")
    weights["classifier.bias"][0] += 1e-3
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    seen.add(describe(str(copy)).fingerprint)
    change_json(copy / "config.json", layer_norm_eps=1e-6)
    seen.add(describe(str(copy)).fingerprint)
    change_json(copy / "tokenizer_config.json", do_lower_case=False)
    seen.add(describe(str(copy)).fingerprint)
    assert len(seen) == 5


def test_loading_is_silent_and_changes_no_setting(tuned: Path, capfd: pytest.CaptureFixture[str]) -> None:
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    Teacher.load(str(tuned))
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.get_verbosity() == level
    assert transformers_logging.is_progress_bar_enabled() is bars is True


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def own_code(folder: Path) -> None:
    code = "raise SystemExit('this code was run')"
    (folder / "own.py").write_text(code)
    change_json(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Own"})


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (shutil.rmtree, "no such folder"),
    (lambda folder: (folder / "config.json").unlink(), "there is no config.json"),
    (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be loaded"),
    (only_pickle, "no other format is read"),
    (truncated, "the weights cannot be loaded"),
    (own_code, "config.json cannot be loaded"),
    (lambda folder: (folder / "tokenizer.json").unlink(), "there is no tokenizer"),
    (lambda folder: (folder / "tokenizer.json").write_text("{}"), "the tokenizer cannot be loaded"),
    (lambda folder: change_json(folder / "config.json", problem_type="regression"), "a regression model"),
    (lambda folder: change_json(folder / "config.json", id2label={"0": "x"}), "config.json cannot be loaded"),
    (
        lambda folder: change_json(folder / "config.json", id2label={"0": "x", "1": "x"}),
        "names a class twice",
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_folder_that_cannot_be_used_gives_one_sentence(
    copy: Path, damage: Callable[[Path], object], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(copy)
    with pytest.raises(InputError, match=message) as caught:
        Teacher.load(str(copy))
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_an_encoder_that_was_never_fine_tuned_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(InputError, match="never fine-tuned"):
        Teacher.load(str(tiny_bert))


@pytest.mark.parametrize("max_length", [2, 65])
def test_a_length_without_positions_is_refused(tuned: Path, max_length: int) -> None:
    with pytest.raises(InputError, match="allows 3 to 64"):
        Teacher.load(str(tuned), max_length=max_length)


@pytest.mark.parametrize("name", ["nobody/has-this-model", "has-this-model", "not a name"])
def test_a_hub_name_that_cannot_be_had_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="give the path of a folder") as caught:
        Teacher.load(name)
    assert "\n" not in str(caught.value)


def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"device 'cuda:99': torch finds \d+ GPUs here; cpu is allowed"):
        choose_device("cuda:99")


def test_of_a_name_that_is_a_folder_too_it_says_how_paths_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "spam").mkdir(parents=True)
    with pytest.raises(UnavailableError, match=r"models/spam: it is not a path, which begins with \./"):
        Teacher.load("models/spam")


def test_text_without_a_utf8_form_is_refused(tuned: Path) -> None:
    with pytest.raises(InputError, match=r"text 1 is not valid Unicode: .* at character 2"):
        Teacher.load(str(tuned)).score(["fine", "ab\udc80"])


def test_weights_that_give_no_numbers_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights["classifier.bias"][0] = np.nan
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match="not finite"):
        Teacher.load(str(copy)).score(["a"])


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 512), max_size=300), tokens=st.integers(1, 4096))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], tokens: int) -> None:
    batched = list(batches(lengths, tokens))
    assert sorted(row for batch in batched for row in batch) == list(range(len(lengths)))
    longest = [max(lengths[row] for row in batch) for batch in batched]
    assert longest == sorted(longest, reverse=True)
    for batch, length in zip(batched, longest, strict=True):
        assert len(batch) == 1 or len(batch) * length <= tokens

"""Folders of models, looked at without loading them: no package of the extra ``teacher`` is needed.

What is told of a folder is the rest of a sentence that begins with its name.
"""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# What a model folder may hold that changes its answers. Weights are found by their suffix.
_VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "sentencepiece.model",
    "spiece.model", "spm.model", "tokenizer.model",
)  # fmt: skip
_PIECES = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}
"""Packages, and their modules, without which transformers reads no vocabulary of SentencePiece."""
MODEL_FILES = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    *_VOCABULARIES,
)

_FROM_PADDING = ("roberta", "xlm-roberta", "camembert")
"""Types of models whose positions count from the padding index on."""
_NO_END = 1_000_000  # tokens


def file_problems(folder: Path) -> Iterator[str]:
    """What is wrong with the files of a model: none, weights elsewhere, or in a format that runs code.

    Args:
        folder: of the model.

    Yields:
        A problem each.
    """
    if not (folder / "config.json").is_file():
        yield "there is no config.json; give a folder that save_pretrained wrote"
    if not any(folder.glob("*.safetensors")):
        yield (
            "there are no safetensors weights, and no other format is read; save the model anew with "
            "save_pretrained"
        )
    if (folder / "adapter_config.json").exists():
        yield "it is an adapter beside another model; merge the two and save them with save_pretrained"
    for path in sorted(folder.glob("*.safetensors.index.json")):
        try:
            names = set(json.loads(path.read_bytes())["weight_map"].values())
            wrong = sorted(name for name in names if not _is_weights(folder, name))
        except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
            yield f"{path.name} is no index of weights ({type(error).__name__})"
            continue
        if wrong:
            yield f"{path.name} names {wrong[0]!r}; allowed are safetensors files of this folder"


def _is_weights(folder: Path, name: str) -> bool:
    return name == Path(name).name and name.endswith(".safetensors") and (folder / name).is_file()


def tokenizer_problem(folder: Path) -> str:
    """Why the tokenizer of a model cannot be read here; empty where it can.

    Args:
        folder: of the model.
    """
    there = [name for name in _VOCABULARIES if (folder / name).is_file()]
    # Without a vocabulary, transformers would make an empty one and every word would be unknown.
    if not there:
        return "there is no tokenizer; save it there with save_pretrained, too"
    missing = [package for package, module in _PIECES.items() if not _is_installed(module)]
    if missing and all(name.endswith(".model") for name in there):
        packages = "a package that is" if len(missing) == 1 else "packages that are"
        return f"its tokenizer, {there[0]}, needs {packages} not installed: pip install {' '.join(missing)}"
    return ""


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def read_config_json(folder: Path) -> dict[str, Any]:
    """What config.json of a model holds.

    Args:
        folder: of the model.

    Raises:
        ValueError: it cannot be read; with the reason.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except OSError as error:
        raise ValueError(f"config.json is not readable: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"config.json is not readable as JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError("config.json holds no object")
    return config


def labels_of(config: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The labels that a classifier's config.json names, in the order of its logits.

    Args:
        config: what ``read_config_json`` gives.

    Returns:
        The labels, and whether they are ``independent``.

    Raises:
        ValueError: it names none, or one twice, or describes no classifier; with the reason.
    """
    named = config.get("id2label")
    if named is None:  # transformers has two labels, where nothing is said of them
        named = {str(number): f"LABEL_{number}" for number in range(2)}
    if not isinstance(named, dict) or not all(re.fullmatch("[0-9]+", key) for key in named):
        raise ValueError("id2label in config.json is no object of numbers and labels")
    labels = tuple(str(named[key]) for key in sorted(named, key=int))
    named_kind = config.get("problem_type")
    kind = named_kind if isinstance(named_kind, str) else None
    if problem := outputs_problem(len(labels), kind):
        raise ValueError(problem)
    if len(set(labels)) != len(labels):
        raise ValueError(f"id2label in config.json names a class twice: {', '.join(labels)}")
    return labels, independent(len(labels), kind)


def outputs_problem(outputs: int, kind: str | None) -> str:
    """Why a model of so many outputs decides no question; empty where it does.

    Args:
        outputs: how many it has.
        kind: its "problem_type".
    """
    if kind == "regression":
        return (
            f"config.json describes a regression model with {outputs} outputs; a teacher decides between "
            'classes (one of a single output that is read through a sigmoid has no "problem_type")'
        )
    if outputs < 1:
        return "config.json names no label; a teacher has one output or more"
    return ""


def independent(outputs: int, kind: str | None) -> bool:
    """Whether each output of a model answers a question of its own, through a sigmoid.

    Else one of its labels holds, by a softmax over all. ``pipeline("text-classification")`` reads both so.

    Args:
        outputs: how many it has.
        kind: its "problem_type".
    """
    return outputs == 1 or kind == "multi_label_classification"


def length_problem(max_length: int, kind: str | None, positions: Any) -> str:
    """Why a model cannot read texts of ``max_length`` tokens; empty where it can.

    Args:
        max_length: tokens of a text.
        kind: the model's "model_type".
        positions: its "max_position_embeddings"; XLNet, which knows no end, says -1.
    """
    most = positions if isinstance(positions, int) and positions > 0 else _NO_END
    if kind in _FROM_PADDING:
        most -= 2
    return "" if 3 <= max_length <= most else f"max_length is {max_length}; this model allows 3 to {most}"

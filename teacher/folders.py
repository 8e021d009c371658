"""Folders and hub names of models: found, checked and loaded; and texts made into token ids.

What ``teacher.bert`` and ``teacher.finetune`` share. Only safetensors weights are read, and code that comes
with a model is never run.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pingti.errors import InputError, UnavailableError
from pingti.extras import install_hint
from pingti.files import sha256
from pingti.model_files import MODEL_FILES, file_problems, length_problem, tokenizer_problem

try:
    import torch as torch  # "as": taken from here, past this guard
    from huggingface_hub import snapshot_download
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise UnavailableError(
        f"a teacher needs torch and transformers ({error}): {install_hint('teacher')}"
    ) from error

PADDED_LEFT = ("xlnet",)
"""Types of models whose head reads the last place of a row, so that what pads a row stands before it."""
_LEFT_TO_RIGHT = (
    *PADDED_LEFT, "bloom", "ctrl", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode",
    "gpt_neo", "gpt_neox", "gptj", "llama", "mistral", "mixtral", "openai-gpt", "opt", "phi", "phi3",
    "qwen2", "qwen3",
)  # fmt: skip


def reads_last(config: Any) -> bool:
    """Whether the head of a model reads the last token of a text and not the first.

    Args:
        config: the model's.
    """
    return config.model_type in _LEFT_TO_RIGHT


def resolve(model: str) -> Path:
    """Find the folder of a model: itself, or a copy of the hub's in the Hugging Face cache.

    A folder is given by an absolute path or one that starts with a dot: what else could be a hub's name is
    one, even where the process happens to stand beside a folder of that name.

    Raises:
        InputError: a folder without config.json or safetensors weights.
        UnavailableError: a name that is neither a folder nor to be had from the hub (``HF_HUB_OFFLINE=1``
            keeps it to the cache).
    """
    folder = Path(model)
    is_path = folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1
    if not (is_path and folder.is_dir()):
        if is_path:
            raise InputError(
                f"teacher {model}: there is no such folder; give a folder that save_pretrained wrote"
            )
        try:
            # Top-level files only: hubs also keep exports for other runtimes in sub-folders.
            wanted = [*MODEL_FILES, "*.safetensors", "*.safetensors.index.json"]
            with quiet():
                downloaded = snapshot_download(model, allow_patterns=wanted, ignore_patterns="*/*")
        except Exception as error:  # its own errors, httpx's and the system's have no common root
            if folder.is_dir():
                raise UnavailableError(
                    f"teacher {model}: it is not a path, which begins with ./, ../ or /, and the Hugging "
                    f"Face hub did not give it ({type(error).__name__}); write the folder's path so"
                ) from error
            raise UnavailableError(
                f"teacher {model}: it is not a folder here and the Hugging Face hub did not give it "
                f"({type(error).__name__}); give the path of a folder that save_pretrained wrote"
            ) from error
        folder = Path(downloaded)
    for problem in file_problems(folder):
        raise InputError(f"teacher {folder}: {problem}")
    return folder


def check_tokenizer(folder: Path) -> None:
    """Check, without loading it, that a model folder has a tokenizer that can be read here.

    Raises:
        InputError: there is none, or it needs a package that is missing.
    """
    if problem := tokenizer_problem(folder):
        raise InputError(f"teacher {folder}: {problem}")


def contents(folder: Path) -> str:
    """Tell what is in a model folder that changes its answers: a line of name and SHA-256 for each file."""
    names = {path.name for path in folder.glob("*.safetensors")} | set(MODEL_FILES)
    there = (folder / name for name in sorted(names))
    return "".join(f"{path.name} {sha256(path)}\n" for path in there if path.is_file())


def read_config(folder: Path) -> Any:
    """Read the transformers configuration of a model folder.

    Raises:
        InputError: it cannot be used.
    """
    with _as_input_error(folder, "config.json"):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a model folder.

    Raises:
        InputError: there is none, or it cannot be used.
    """
    check_tokenizer(folder)
    with _as_input_error(folder, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token  # as is usual for GPT-2; no text has it inside
    if tokenizer.pad_token_id is None:
        raise InputError(f"teacher {folder}: the tokenizer has no padding token, which a BERT-type model has")
    bare = tokenizer.cls_token_id is not None and not tokenizer.num_special_tokens_to_add()
    if bare and not (folder / "tokenizer.json").is_file():  # RemBERT's, read from its pieces
        raise InputError(
            f"teacher {folder}: its tokenizer, read without a tokenizer.json, puts no {tokenizer.cls_token} "
            "before a text, as the model was trained with; save it there anew with "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    return tokenizer


def load_model(folder: Path, **config: Any) -> tuple[Any, list[str]]:
    """Load the sequence classifier of a model folder in float32.

    Args:
        folder: of the model.
        **config: entries of its configuration that are taken instead of the file's.

    Returns:
        The model, and the names of weights that were not there; those are drawn from torch's global
        generator.

    Raises:
        InputError: the weights cannot be used.
    """
    with _as_input_error(folder, "the weights"):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=bool(config),  # a head of another task, when fine-tuning
            output_loading_info=True,
            **config,
        )
    return model, sorted(info["missing_keys"])


def load_encoder(folder: Path) -> Any:
    """Load the model of a folder without any head, in float32; errors as of ``load_model``."""
    with _as_input_error(folder, "the weights"):
        return AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )


def check_max_length(max_length: int, config: Any, folder: Path) -> None:
    """Check that the model has a position for each of ``max_length`` tokens.

    Raises:
        InputError: it has not.
    """
    positions = getattr(config, "max_position_embeddings", None)
    if problem := length_problem(max_length, config.model_type, positions):
        raise InputError(f"teacher {folder}: {problem}")


def choose_device(device: str | None) -> torch.device:
    """Choose the torch device of that name; None is CUDA where there is one, else the CPU.

    Raises:
        InputError: torch knows no such device, or it is not here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device {device!r} is not one that torch knows, such as cpu or cuda:0") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device!r}: torch finds {torch.cuda.device_count()} GPUs here; cpu is allowed"
        )
    return chosen


def encode(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Look up the token ids of each text with its special tokens, cut to ``max_length``."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_length,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    ids: list[list[int]] = encoded["input_ids"]
    # Tokenizers without special tokens make nothing of an empty text; a model needs something to read.
    return [row or [tokenizer.pad_token_id] for row in ids]


def count_pieces(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Count the tokens of each whole text, without special tokens."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    return [len(row) for row in encoded["input_ids"]]


def pad(
    ids: Sequence[Sequence[int]], pad_id: int, *, left: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows on the right, or on the left.

    Returns:
        Token ids and attention mask, both int64 (rows, longest row).
    """
    shape = (len(ids), max(len(row) for row in ids))
    padded = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for index, row in enumerate(ids):
        place = slice(shape[1] - len(row), None) if left else slice(len(row))
        padded[index, place] = row
        mask[index, place] = 1
    return torch.from_numpy(padded), torch.from_numpy(mask)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the progress bars and load reports of transformers and the hub off the screen meanwhile."""
    bars = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    if bars:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def _as_input_error(folder: Path, part: str) -> Iterator[None]:
    """Say in one sentence what transformers says in many; it has no common root of its errors."""
    try:
        with quiet():
            yield
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"teacher {folder}: {part} cannot be loaded: {reason}") from error

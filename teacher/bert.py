"""A fine-tuned BERT-type sequence classifier: texts in, class probabilities and [CLS] vectors out.

Models are folders that ``save_pretrained`` wrote, or names on the Hugging Face hub. Only safetensors
weights are read, and code that comes with a model is never run.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.errors import ArtifactError, InputError, UnavailableError
from pingti.files import sha256

try:
    import torch as torch  # "as": teacher.finetune takes it from here, past this guard
    from huggingface_hub import snapshot_download
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise UnavailableError(
        f"a teacher needs torch and transformers ({error}): install 'pingti[teacher]'"
    ) from error

# Padded tokens in one batch on a CPU and on a GPU. On a CPU, larger batches leave the caches of the cores;
# smaller ones pay the fixed cost of a call more often.
_CPU_BATCH_TOKENS = 1024
_GPU_BATCH_TOKENS = 32_768
# Texts that are tokenized and sorted by length at a time: bounds memory, and is long enough to sort well.
_WINDOW = 8192
TEMPERATURE = "pingti_temperature"  # in config.json: what the logits are divided by

# What a model folder may hold that changes its answers. Weights are found by their suffix.
_VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "spm.model",
)  # fmt: skip
_MODEL_FILES = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    *_VOCABULARIES,
)


@dataclass(frozen=True)
class Scored:
    """A teacher's answer for n texts, in the order of the texts."""

    probabilities: NDArray[np.float32]
    """(n, labels): softmax of the logits; each row sums to 1."""
    vectors: NDArray[np.float32]
    """(n, hidden): the first token's ([CLS]) hidden state after the last layer."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is known of a teacher without loading its weights."""

    folder: Path
    """Where its files are."""
    labels: tuple[str, ...]
    """Class names in the order of the columns of ``Scored.probabilities``."""
    hidden: int
    """Width of a [CLS] vector."""
    max_length: int
    """Tokens of a text that the teacher reads, with [CLS] and [SEP]; the rest is cut off."""
    fingerprint: str
    """32 hexadecimal digits: SHA-256 over weights, config, tokenizer files and ``max_length``."""


def describe(model: str, *, max_length: int = 64) -> Description:
    """Find a model's files and read its description; the weights are hashed but not loaded.

    Raises InputError where the folder is not a fine-tuned sequence classifier in safetensors files, or
    ``max_length`` does not suit it; UnavailableError where a hub name cannot be had.
    """
    folder = resolve(model)
    config = read_config(folder)
    # One output is a regression, and independent (sigmoid) outputs are not the classes of one question.
    if config.num_labels < 2 or config.problem_type in ("regression", "multi_label_classification"):
        raise InputError(
            f"teacher {folder}: config.json describes a {config.problem_type or 'regression'} model with "
            f"{config.num_labels} outputs; a teacher has two or more classes of which one holds"
        )
    # id2label's keys were read as integers; their order, not the file's, is the order of the logits.
    labels = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
    if len(set(labels)) != len(labels):
        raise InputError(
            f"teacher {folder}: id2label in config.json names a class twice: {', '.join(labels)}"
        )
    check_max_length(max_length, config, folder)
    return Description(
        folder=folder,
        labels=labels,
        hidden=int(config.hidden_size),
        max_length=max_length,
        fingerprint=_fingerprint(folder, max_length),
    )


def _temperature(config: Any, folder: Path) -> float:
    found = getattr(config, TEMPERATURE, 1.0)
    if type(found) not in (int, float) or not 0.01 <= found <= 100:
        raise InputError(
            f"teacher {folder}: {TEMPERATURE} in config.json is {found!r}; allowed is 0.01 to 100"
        )
    return float(found)


class Teacher:
    """A loaded teacher. ``labels``, ``hidden`` and ``fingerprint`` are those of its description."""

    def __init__(
        self, description: Description, *, device: str | None = None, threads: int | None = None
    ) -> None:
        """Load the weights of ``description``.

        ``device``: a torch device; None takes CUDA where there is one, else the CPU. ``threads``: CPU
        threads that scoring uses; None leaves torch's number. Errors as in ``describe``.
        """
        self.description = description
        self.labels = description.labels
        self.hidden = description.hidden
        self.fingerprint = description.fingerprint
        self._threads = threads
        self._device = choose_device(device)
        folder = description.folder
        self._tokenizer = load_tokenizer(folder)
        model, missing = load_model(folder)
        if missing:
            raise InputError(
                f"teacher {folder}: the weights have no {missing[0]}, so this model was never fine-tuned "
                "as a classifier: fine-tune it on labelled texts first"
            )
        self._model = model.eval().to(self._device)
        self._temperature = _temperature(model.config, folder)
        self._batch_tokens = _CPU_BATCH_TOKENS if self._device.type == "cpu" else _GPU_BATCH_TOKENS

    @classmethod
    def load(
        cls, model: str, *, max_length: int = 64, device: str | None = None, threads: int | None = None
    ) -> "Teacher":
        """Load a folder or hub name; arguments and errors as in ``describe`` and the constructor."""
        return cls(describe(model, max_length=max_length), device=device, threads=threads)

    def score(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Scored:
        """Score ``texts``; an empty text is scored like any other.

        Texts of like length share a batch, so a row's last bits depend on the texts beside it; the same
        call on the same machine gives the same bits. ``progress`` is told the number of texts done
        since it was last called. Raises InputError for a text that is not Unicode (a lone surrogate),
        ArtifactError where the weights give numbers that are not finite.
        """
        check_texts(texts)
        probabilities = np.empty((len(texts), len(self.labels)), dtype=np.float32)
        vectors = np.empty((len(texts), self.hidden), dtype=np.float32)
        with _torch_threads(self._threads), torch.inference_mode():
            for start in range(0, len(texts), _WINDOW):
                ids = encode(self._tokenizer, texts[start : start + _WINDOW], self.description.max_length)
                for rows in _batches([len(row) for row in ids], self._batch_tokens):
                    input_ids, mask = pad([ids[row] for row in rows], self._tokenizer.pad_token_id)
                    output = self._model(
                        input_ids=input_ids.to(self._device),
                        attention_mask=mask.to(self._device),
                        output_hidden_states=True,
                    )
                    at = rows + start
                    logits = output.logits.float() / self._temperature
                    probabilities[at] = torch.softmax(logits, dim=1).cpu().numpy()
                    vectors[at] = output.hidden_states[-1][:, 0].float().cpu().numpy()
                    if progress is not None:
                        progress(len(rows))
        if not (np.isfinite(probabilities).all() and np.isfinite(vectors).all()):
            raise ArtifactError(
                f"teacher {self.description.folder}: its weights give scores that are not finite"
            )
        return Scored(probabilities, vectors)

    def token_vectors(self, tokens: Sequence[str]) -> NDArray[np.float32]:
        """The model's own word vectors, float32 (n, hidden): for each token the mean of its word pieces'.

        These are input embeddings: they know a word without any text around it, and cost no forward pass.
        """
        check_texts(tokens)
        pieces = self._tokenizer(list(tokens), add_special_tokens=False, truncation=True, max_length=16)
        matrix = self._model.get_input_embeddings().weight.detach().float().cpu().numpy()
        unknown = [self._tokenizer.unk_token_id]
        return np.stack(
            [matrix[ids or unknown].mean(axis=0) for ids in pieces["input_ids"]]
            or [np.zeros((0, matrix.shape[1]), np.float32)]
        ).reshape(len(tokens), matrix.shape[1])


# ---- shared with teacher.finetune -----------------------------------------------------------------


def resolve(model: str) -> Path:
    """The folder of a model: itself, or a copy of the hub's in the Hugging Face cache.

    Raises InputError for a folder without config.json or safetensors weights, UnavailableError for a name
    that is neither a folder nor to be had from the hub (``HF_HUB_OFFLINE=1`` keeps it to the cache).
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        # A hub name is "name" or "owner/name"; anything else can only have been meant as a path.
        if model.startswith(("/", ".", "~")) or model.count("/") > 1:
            raise InputError(
                f"teacher {model}: there is no such folder; give a folder that save_pretrained wrote"
            )
        try:
            # Top-level files only: hubs also keep exports for other runtimes in sub-folders.
            wanted = [*_MODEL_FILES, "*.safetensors", "*.safetensors.index.json"]
            with quiet():
                found = snapshot_download(model, allow_patterns=wanted, ignore_patterns="*/*")
        except Exception as error:  # its own errors, httpx's and the system's have no common root
            raise UnavailableError(
                f"teacher {model}: it is not a folder here and the Hugging Face hub did not give it "
                f"({type(error).__name__}); give the path of a folder that save_pretrained wrote"
            ) from error
        folder = Path(found)
    if not (folder / "config.json").is_file():
        raise InputError(
            f"teacher {folder}: there is no config.json; give a folder that save_pretrained wrote"
        )
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"teacher {folder}: there are no safetensors weights, and no other format is read; "
            "save the model anew with save_pretrained"
        )
    return folder


def read_config(folder: Path) -> Any:
    """The transformers configuration of a model folder (InputError where it cannot be used)."""
    with _as_input_error(folder, "config.json"):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder (InputError where it cannot be used)."""
    # Without a vocabulary, transformers would make an empty one and every word would be unknown.
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        raise InputError(f"teacher {folder}: there is no tokenizer; save it there with save_pretrained, too")
    with _as_input_error(folder, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        raise InputError(f"teacher {folder}: the tokenizer has no padding token, which a BERT-type model has")
    return tokenizer


def load_model(folder: Path, **config: Any) -> tuple[Any, list[str]]:
    """The sequence classifier of a model folder in float32, and the names of weights that were not there.

    ``config`` overrides entries of its configuration. Weights that are not there are drawn from torch's
    global generator.
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


def check_max_length(max_length: int, config: Any, folder: Path) -> None:
    """Raise InputError unless the model has a position for each of ``max_length`` tokens."""
    positions = getattr(config, "max_position_embeddings", None) or 1_000_000
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2  # their positions count from the padding index on
    if not 3 <= max_length <= positions:
        raise InputError(f"teacher {folder}: max_length is {max_length}; this model allows 3 to {positions}")


def choose_device(device: str | None) -> torch.device:
    """The torch device of that name; None is CUDA where there is one, else the CPU."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device {device!r} is not one that torch knows, such as cpu or cuda:0") from error


def check_texts(texts: Sequence[str]) -> None:
    """Raise InputError for a text that has no UTF-8 form: tokenizers and hashes need one."""
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"text {row} is not valid Unicode: {error.reason} at character {error.start}"
            ) from error


def encode(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text with its special tokens, cut to ``max_length``."""
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
    return ids


def pad(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both int64 (rows, longest row), padded on the right."""
    shape = (len(ids), max(len(row) for row in ids))
    padded = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for index, row in enumerate(ids):
        padded[index, : len(row)] = row
        mask[index, : len(row)] = 1
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


# ---- inside ---------------------------------------------------------------------------------------


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[NDArray[np.intp]]:
    """Row numbers in batches of like length, longest first, each of at most ``tokens`` padded tokens.

    Longest first: a batch that does not fit into memory fails at the start and not after an hour.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, tokens // lengths[order[start]])
        yield order[start : start + rows]
        start += rows


def _fingerprint(folder: Path, max_length: int) -> str:
    digest = hashlib.sha256(f"pingti teacher 1\nmax_length {max_length}\n".encode())
    names = {path.name for path in folder.glob("*.safetensors")} | set(_MODEL_FILES)
    for name in sorted(names):
        path = folder / name
        if path.is_file():
            digest.update(f"{name} {sha256(path)}\n".encode())
    return digest.hexdigest()[:32]


@contextmanager
def _as_input_error(folder: Path, part: str) -> Iterator[None]:
    """Say in one sentence what transformers says in many; it has no common root of its errors."""
    try:
        with quiet():
            yield
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"teacher {folder}: {part} cannot be loaded: {reason}") from error


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads is not None:
            torch.set_num_threads(before)

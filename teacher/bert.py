"""A fine-tuned BERT-type sequence classifier: texts in, class probabilities and [CLS] vectors out.

Models are folders that ``save_pretrained`` wrote, or names on the Hugging Face hub. Only safetensors
weights are read, and code that comes with a model is never run.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.errors import ArtifactError, InputError
from pingti.model_files import independent, outputs_problem
from teacher.folders import (
    PADDED_LEFT,
    check_max_length,
    check_tokenizer,
    choose_device,
    contents,
    encode,
    load_model,
    load_tokenizer,
    pad,
    read_config,
    reads_last,
    resolve,
    torch,
)
from teacher.ngrams import NGrams
from teacher.precision import Precision, computing, prepared, resolve_precision
from teacher.protocol import Scored
from teacher.texts import check_texts

# Padded tokens in one batch on a CPU and on a GPU. On a CPU, larger batches leave the caches of the cores;
# smaller ones pay the fixed cost of a call more often.
_CPU_BATCH_TOKENS = 1024
_GPU_BATCH_TOKENS = 32_768
# Texts that are tokenized and sorted by length at a time: bounds memory, and is long enough to sort well.
_WINDOW = 8192
TEMPERATURE = "pingti_temperature"  # in config.json: what the logits are divided by


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is known of a teacher without loading its weights."""

    folder: Path
    """Where its files are."""
    labels: tuple[str, ...]
    """Class names in the order of the columns of ``Scored.probabilities``."""
    independent: bool = False
    """Whether each label is answered by itself (multi-label, or one output), and not one of them holds."""
    hidden: int
    """Width of a [CLS] vector."""
    max_length: int
    """Tokens of a text that the teacher reads, with [CLS] and [SEP]; the rest is cut off."""
    precision: Precision
    """What it computes with."""
    fingerprint: str
    """32 hexadecimal digits: SHA-256 over weights, config, tokenizer files, ``max_length``, ``precision``."""


def describe(
    model: str, *, max_length: int = 64, precision: str | None = None, device: str | None = None
) -> Description:
    """Find a model's files and read its description; the weights are hashed but not loaded.

    Args:
        model: a folder that ``save_pretrained`` wrote, or a name on the Hugging Face hub.
        max_length: tokens of a text that the teacher reads, with [CLS] and [SEP].
        precision: float32, bfloat16 or int8; None takes that which suits ``device`` (see
            ``teacher.precision``).
        device: a torch device; None takes CUDA where there is one, else the CPU.

    Raises:
        InputError: the folder is not a fine-tuned sequence classifier in safetensors files, or
            ``max_length`` or ``precision`` does not suit it.
        UnavailableError: a hub name cannot be had.
    """
    chosen = resolve_precision(precision, choose_device(device))
    folder = resolve(model)
    config = read_config(folder)
    if problem := outputs_problem(config.num_labels, config.problem_type):
        raise InputError(f"teacher {folder}: {problem}")
    # id2label's keys were read as integers; their order, not the file's, is the order of the logits.
    labels = tuple(str(config.id2label[index]) for index in sorted(config.id2label))
    if len(set(labels)) != len(labels):
        raise InputError(
            f"teacher {folder}: id2label in config.json names a class twice: {', '.join(labels)}"
        )
    check_max_length(max_length, config, folder)
    check_tokenizer(folder)
    hidden = getattr(config, "hidden_size", None)
    if not isinstance(hidden, int):
        raise InputError(
            f"teacher {folder}: a model of the type {config.model_type} gives no vector of one width for a "
            "text; a BERT-type sequence classifier is needed"
        )
    return Description(
        folder=folder,
        labels=labels,
        independent=independent(config.num_labels, config.problem_type),
        hidden=hidden,
        max_length=max_length,
        precision=chosen,
        fingerprint=_fingerprint(folder, max_length, chosen),
    )


def _temperature(config: Any, folder: Path) -> float:
    temperature = getattr(config, TEMPERATURE, 1.0)
    if type(temperature) not in (int, float) or not 0.01 <= temperature <= 100:
        raise InputError(
            f"teacher {folder}: {TEMPERATURE} in config.json is {temperature!r}; allowed is 0.01 to 100"
        )
    return float(temperature)


class Teacher:
    """A loaded teacher; ``load`` and ``load_described`` make one.

    Args:
        description: what it is; ``labels``, ``hidden`` and ``fingerprint`` are taken from it.
        model: the classifier, in the description's precision and on ``device``.
        tokenizer: of the model.
        temperature: what the logits are divided by.
        ngrams: adds its logits to the model's; None: the model decides alone.
        device: where the model is.
        threads: CPU threads that scoring uses; None leaves torch's number.
    """

    def __init__(
        self,
        description: Description,
        model: Any,
        tokenizer: Any,
        *,
        temperature: float,
        ngrams: NGrams | None,
        device: torch.device,
        threads: int | None,
    ) -> None:
        self.description = description
        self.labels = description.labels
        self.hidden = description.hidden
        self.fingerprint = description.fingerprint
        self._model = model
        self._tokenizer = tokenizer
        self._temperature = temperature
        self._ngrams = ngrams
        self._device = device
        self._threads = threads
        self._batch_tokens = _CPU_BATCH_TOKENS if device.type == "cpu" else _GPU_BATCH_TOKENS

    @classmethod
    def load(
        cls,
        model: str,
        *,
        max_length: int = 64,
        precision: str | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> "Teacher":
        """Load a folder or hub name.

        Args:
            model: as of ``describe``, like ``max_length``, ``precision`` and ``device``.
            max_length: tokens of a text that are read.
            precision: float32, bfloat16 or int8.
            device: a torch device.
            threads: CPU threads that scoring uses; None leaves torch's number.

        Raises:
            InputError: as of ``describe``; or the model was never fine-tuned as a classifier.
            UnavailableError: a hub name cannot be had.
        """
        description = describe(model, max_length=max_length, precision=precision, device=device)
        return cls.load_described(description, device=device, threads=threads)

    @classmethod
    def load_described(
        cls, description: Description, *, device: str | None = None, threads: int | None = None
    ) -> "Teacher":
        """Load the weights of ``description``; further arguments and errors as of ``load``."""
        chosen = choose_device(device)
        folder = description.folder
        tokenizer = load_tokenizer(folder)
        model, missing = load_model(folder)
        if missing:
            raise InputError(
                f"teacher {folder}: the weights have no {missing[0]}, so this model was never fine-tuned "
                "as a classifier: fine-tune it on labelled texts first"
            )
        if model.config.pad_token_id is None or reads_last(model.config):
            model.config.pad_token_id = tokenizer.pad_token_id  # by it such a model finds a text's end
        resolve_precision(description.precision, chosen)  # the description may be of another device
        temperature = _temperature(model.config, folder)
        ngrams = NGrams.load(folder, len(description.labels))
        model = prepared(model.eval(), description.precision).to(chosen)
        return cls(
            description,
            model,
            tokenizer,
            temperature=temperature,
            ngrams=ngrams,
            device=chosen,
            threads=threads,
        )

    def score(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Scored:
        """Score n texts; an empty text is scored like any other.

        Texts of like length share a batch, so a row's last bits depend on the texts beside it; the same
        call on the same machine gives the same bits.

        Args:
            texts: n of them.
            progress: called with the number of texts done since it was last called.

        Raises:
            InputError: a text is not Unicode (a lone surrogate).
            ArtifactError: the weights give numbers that are not finite.
        """
        check_texts(texts)
        probabilities = np.empty((len(texts), len(self.labels)), dtype=np.float32)
        vectors = np.empty((len(texts), self.hidden), dtype=np.float32)

        def take(
            rows: NDArray[np.intp], logits: torch.Tensor, states: torch.Tensor, mask: torch.Tensor
        ) -> None:
            own = logits.float().cpu() / self._temperature
            if self._ngrams is not None:
                own += torch.from_numpy(self._ngrams.logits([texts[row] for row in rows.tolist()]))
            answered = own.sigmoid() if self.description.independent else own.softmax(dim=1)
            probabilities[rows] = answered.numpy()
            vectors[rows] = self._read_states(states, mask).float().cpu().numpy()
            if progress is not None:
                progress(len(rows))

        self._read(texts, take)
        if not (np.isfinite(probabilities).all() and np.isfinite(vectors).all()):
            raise ArtifactError(
                f"teacher {self.description.folder}: its weights give scores that are not finite"
            )
        return Scored(probabilities, vectors)

    def token_vectors(
        self, tokens: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute what the model makes of each of n tokens without any text around it.

        Args:
            tokens: n of them, each read like a text.
            progress: as of ``score``.

        Returns:
            Twice float32 (n, width). First the mean of a token's word pieces' input embeddings, which some
            models have narrower than their hidden states. Then, of the hidden states' width, the mean over
            the last of them, [CLS] and [SEP] among them, of the token read alone as a text: what fine-tuning
            made of it (model2vec's vectors, Tulkens and van Dongen 2024).

        Raises:
            InputError: a token is not Unicode (a lone surrogate).
        """
        check_texts(tokens)
        options = {"add_special_tokens": False, "truncation": True, "max_length": 16}
        pieces = self._tokenizer(list(tokens), **options)["input_ids"] if tokens else []
        matrix = self._model.get_input_embeddings().weight.detach().float().cpu().numpy()
        unknown = self._tokenizer.unk_token_id
        unknown = [self._tokenizer.pad_token_id if unknown is None else unknown]
        inputs = np.zeros((len(tokens), matrix.shape[1]), np.float32)
        outputs = np.zeros((len(tokens), self.hidden), np.float32)
        for row, ids in enumerate(pieces):
            inputs[row] = matrix[ids or unknown].mean(axis=0)

        def take(rows: NDArray[np.intp], _: torch.Tensor, states: torch.Tensor, mask: torch.Tensor) -> None:
            known = mask.to(states.device)[:, :, None]
            outputs[rows] = ((states.float() * known).sum(dim=1) / known.sum(dim=1)).cpu().numpy()
            if progress is not None:
                progress(len(rows))

        self._read(tokens, take)
        return inputs, outputs

    def _read_states(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Of states (n, tokens, hidden) those (n, hidden) that the head reads."""
        if not reads_last(self._model.config):
            return states[:, 0]
        positions = torch.arange(mask.shape[1]).expand_as(mask)
        last = (positions * mask).amax(dim=1).to(states.device)
        return states[torch.arange(len(states), device=states.device), last]

    def _read(
        self,
        texts: Sequence[str],
        take: Callable[[NDArray[np.intp], torch.Tensor, torch.Tensor, torch.Tensor], None],
    ) -> None:
        """Give ``take`` every batch: rows, logits (n, labels), last states (n, tokens, hidden), mask."""
        numbers = computing(self.description.precision, self._device)
        with _torch_threads(self._threads), torch.inference_mode(), numbers:
            for start in range(0, len(texts), _WINDOW):
                ids = encode(self._tokenizer, texts[start : start + _WINDOW], self.description.max_length)
                for rows in batches([len(row) for row in ids], self._batch_tokens):
                    left = self._model.config.model_type in PADDED_LEFT
                    input_ids, mask = pad([ids[row] for row in rows], self._tokenizer.pad_token_id, left=left)
                    output = self._model(
                        input_ids=input_ids.to(self._device),
                        attention_mask=mask.to(self._device),
                        output_hidden_states=True,
                    )
                    take(rows + start, output.logits, output.hidden_states[-1], mask)


def batches(lengths: Sequence[int], tokens: int) -> Iterator[NDArray[np.intp]]:
    """Put rows into batches of like length.

    The longest come first: a batch that does not fit into memory fails at the start and not after an hour.

    Args:
        lengths: tokens of each row.
        tokens: padded tokens of a batch at most; a longer row is a batch by itself.

    Yields:
        Row numbers.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, tokens // lengths[order[start]])
        yield order[start : start + rows]
        start += rows


def _fingerprint(folder: Path, max_length: int, precision: Precision) -> str:
    digest = hashlib.sha256(f"pingti teacher 1\nmax_length {max_length}\n".encode())
    if precision != "float32":
        digest.update(f"precision {precision}\n".encode())
    digest.update(contents(folder).encode())
    return digest.hexdigest()[:32]


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

"""A sentence teacher: a BERT whose pooled states lie near each other where texts mean alike.

Such models are Sentence-BERT's (Reimers and Gurevych 2019); sentence-transformers keeps how their states are
pooled in the folder ``1_Pooling``.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.errors import ArtifactError, InputError
from teacher.bert import batches
from teacher.folders import (
    check_max_length,
    choose_device,
    encode,
    load_encoder,
    load_tokenizer,
    pad,
    read_config,
    resolve,
    torch,
)
from teacher.texts import check_texts

_MAX_LENGTH = 128
_POOLING = Path("1_Pooling", "config.json")
_CPU_BATCH_TOKENS = 1024  # padded; larger batches leave the caches of the cores


class SentenceTeacher:
    """A loaded sentence teacher.

    Args:
        model: a folder that ``save_pretrained`` or sentence-transformers wrote, or a name on the hub. States
            are pooled as its ``1_Pooling`` says, by their mean where there is none.
        max_length: tokens of a text that are read, with [CLS] and [SEP]; 128 where absent, or as many as the
            model reads.
        device: a torch device; CUDA where there is one, if absent.

    Raises:
        InputError: a folder that cannot be used, or one that pools otherwise than by mean or [CLS].
        UnavailableError: a hub name cannot be had.
    """

    def __init__(self, model: str, *, max_length: int | None = None, device: str | None = None) -> None:
        folder = resolve(model)
        self._pool_first = _pools_first(folder)
        config = read_config(folder)
        if max_length is None:
            max_length = min(_MAX_LENGTH, getattr(config, "max_position_embeddings", None) or _MAX_LENGTH)
        check_max_length(max_length, config, folder)
        self.folder = folder
        self.width: int = config.hidden_size
        """Numbers of a vector."""
        self._max_length = max_length
        self._device = choose_device(device)
        self._tokenizer = load_tokenizer(folder)
        self._model = load_encoder(folder).eval().to(self._device)

    def encode(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Compute the vectors of n texts.

        Args:
            texts: n of them.
            progress: called with the number of texts done since it was last called.

        Returns:
            float32 (n, width), of length 1.

        Raises:
            InputError: a text is not Unicode (a lone surrogate).
            ArtifactError: the weights give numbers that are not finite.
        """
        check_texts(texts)
        vectors = np.empty((len(texts), self.width), np.float32)
        ids = encode(self._tokenizer, texts, self._max_length)
        with torch.inference_mode():
            for rows in batches([len(row) for row in ids], _CPU_BATCH_TOKENS):
                input_ids, mask = pad([ids[row] for row in rows], self._tokenizer.pad_token_id)
                mask = mask.to(self._device)
                states = self._model(input_ids=input_ids.to(self._device), attention_mask=mask)
                pooled = self._pooled(states.last_hidden_state, mask)
                vectors[rows] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
                if progress is not None:
                    progress(len(rows))
        if not np.isfinite(vectors).all():
            raise ArtifactError(f"teacher {self.folder}: its weights give vectors that are not finite")
        return vectors

    def _pooled(self, states: Any, mask: Any) -> Any:
        """Of states (n, tokens, width) one of each text, (n, width)."""
        if self._pool_first:
            return states[:, 0]
        known = mask[:, :, None].to(states.dtype)
        return (states * known).sum(dim=1) / known.sum(dim=1)


def _pools_first(folder: Path) -> bool:
    """Whether a model's vector is its first state, and not the mean of all."""
    path = folder / _POOLING
    if not path.is_file():
        return False
    try:
        pooling = json.loads(path.read_text(encoding="utf-8"))
        modes = [key for key, value in pooling.items() if key.startswith("pooling_mode_") and value is True]
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"teacher {path}: not readable as JSON: {error}") from error
    if modes not in (["pooling_mode_mean_tokens"], ["pooling_mode_cls_token"]):
        raise InputError(
            f"teacher {path}: states are pooled by {', '.join(modes) or 'nothing'}; allowed are the mean "
            "(pooling_mode_mean_tokens) and the first state (pooling_mode_cls_token) alone"
        )
    return modes == ["pooling_mode_cls_token"]

"""Vectors of a sentence model, for teachers that have none."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from pingti.errors import InputError
from teacher.bert import batches
from teacher.folders import choose_device, encode, load_tokenizer, pad, quiet
from teacher.texts import check_texts

_BATCH_TOKENS = 1024
_MAX_LENGTH = 64


class SentenceModel:
    """An encoder whose mean last state is a text's vector; ``load`` makes one.

    Args:
        model: the encoder, on ``device``.
        tokenizer: of the model.
        device: where the model is.
    """

    def __init__(self, model: Any, tokenizer: Any, device: torch.device) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._device = device

    @classmethod
    def load(cls, folder: Path, *, device: str | None = None) -> "SentenceModel":
        """Load a folder that ``save_pretrained`` wrote; only safetensors weights are read, and no code.

        Raises:
            InputError: it cannot be used.
        """
        if not folder.is_dir():
            raise InputError(f"teacher.vectors: {folder}: there is no such folder")
        chosen = choose_device(device)
        tokenizer = load_tokenizer(folder)
        try:
            with quiet():
                model = AutoModel.from_pretrained(
                    folder,
                    dtype=torch.float32,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                )
        except Exception as error:  # transformers' errors have no common root
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"teacher.vectors: {folder}: the model cannot be loaded: {reason}") from error
        return cls(model.eval().to(chosen), tokenizer, chosen)

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Compute the mean of the last states of each of n texts.

        Args:
            texts: n of them, of which 64 word pieces are read.
            progress: called with the number of texts done since it was last called.

        Returns:
            float32 (n, hidden).
        """
        check_texts(texts)
        vectors = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        ids = encode(self._tokenizer, texts, _MAX_LENGTH)
        with torch.inference_mode():
            for rows in batches([len(row) for row in ids], _BATCH_TOKENS):
                padded, mask = pad([ids[row] for row in rows], self._tokenizer.pad_token_id)
                padded, mask = padded.to(self._device), mask.to(self._device)
                states = self._model(input_ids=padded, attention_mask=mask).last_hidden_state.float()
                known = mask[:, :, None]
                vectors[rows] = ((states * known).sum(dim=1) / known.sum(dim=1)).cpu().numpy()
                if progress is not None:
                    progress(len(rows))
        return vectors

    def token_vectors(
        self, tokens: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give vectors of tokens, as of ``Teacher.token_vectors``."""
        matrix = self._model.get_input_embeddings().weight.detach().float().cpu().numpy()
        options = {"add_special_tokens": False, "truncation": True, "max_length": 16}
        pieces = self._tokenizer(list(tokens), **options)["input_ids"] if tokens else []
        unknown = self._tokenizer.unk_token_id
        fallback = [self._tokenizer.pad_token_id if unknown is None else unknown]
        inputs = np.zeros((len(tokens), matrix.shape[1]), np.float32)
        for row, ids in enumerate(pieces):
            inputs[row] = matrix[ids or fallback].mean(axis=0)
        return inputs, self.embed(tokens, progress=progress)

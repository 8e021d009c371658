"""Folded student against the same network in torch, in turns, on one core: ``make bench``."""

import platform
import time

import numpy as np
import pyarrow as pa
import torch

from textcnn import Architecture, Student, Vocabulary
from textcnn.network import TextCNN

ROWS, TURNS = 20_000, 5


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in range(20_000)]
    common = np.minimum(rng.zipf(1.2, (ROWS, 20)) - 1, len(words) - 1)
    texts = pa.array([" ".join(words[index] for index in row) for row in common])
    vocabulary = Vocabulary.build(texts, size=8000)
    network = TextCNN(vocabulary.size, 2, Architecture(), rng).eval()
    student = Student.from_network(network, vocabulary, ["no", "yes"])
    sample = texts.slice(0, 2000)

    def eager() -> None:
        encoded = vocabulary.encode(sample)
        with torch.inference_mode():
            network(encoded.ids, encoded.offsets)

    eager()
    student.score(sample)
    folded_rates, eager_rates = [], []
    for _ in range(TURNS):
        start = time.perf_counter()
        student.score(texts)
        folded_rates.append(ROWS / (time.perf_counter() - start))
        start = time.perf_counter()
        eager()
        eager_rates.append(len(sample) / (time.perf_counter() - start))
    folded, plain = float(np.median(folded_rates)), float(np.median(eager_rates))
    print(f"{platform.processor() or platform.machine()}, one core, 20-word texts, medians of {TURNS} turns")  # noqa: T201
    print(f"folded  {folded:12,.0f} texts/s\nnetwork {plain:12,.0f} texts/s\nratio   {folded / plain:12.1f}")  # noqa: T201


if __name__ == "__main__":
    main()

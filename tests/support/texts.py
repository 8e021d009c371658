"""Sentences of made-up words, on three topics."""

import numpy as np

WORDS = {
    "sport": ["goal", "match", "team", "coach", "league", "striker", "tennis", "champion"],
    "tech": ["software", "chip", "browser", "server", "robot", "laptop", "network", "code"],
    "other": ["market", "film", "minister", "bread", "weather", "garden", "music", "train"],
}


def made_texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Sentences of made-up words, and the topic (sport, tech or other) that their words are of."""
    rng = np.random.default_rng(seed)
    topics = [str(topic) for topic in rng.choice(list(WORDS), n)]
    words = [rng.choice(WORDS[topic], 4).tolist() for topic in topics]
    sentences = [" ".join(["the", *chosen, str(rng.integers(99))]) for chosen in words]
    return sentences, topics

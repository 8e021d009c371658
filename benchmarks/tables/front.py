"""The table of the README, in English and in Chinese: faithful and fast side by side."""

from typing import Any

from benchmarks.tables import fidelity, speed
from benchmarks.tables.markdown import rate, table

Document = dict[str, Any]


def english(of_fidelity: Document, of_speed: Document) -> str | None:
    """Of the README."""
    names = (
        "one CPU core", "F1 against the teacher", "texts/s", "Pingti's student",
        "linear n-grams (scikit-learn)", "MiniLM in ONNX Runtime, int8", "MiniLM in torch",
        "BERT-base in torch", "n/m", "(the teacher)", "to",
    )  # fmt: skip
    return _table(of_fidelity, of_speed, names)


def chinese(of_fidelity: Document, of_speed: Document) -> str | None:
    """Of the README in Chinese."""
    names = (
        "单个 CPU 核", "相对教师的 F1", "条/秒", "Pingti 的学生模型", "线性 n-gram（scikit-learn）",
        "MiniLM，ONNX Runtime，int8", "MiniLM，torch", "BERT-base，torch", "未测", "（教师）", "到",
    )  # fmt: skip
    return _table(of_fidelity, of_speed, names)


def _table(of_fidelity: Document, of_speed: Document, names: tuple[str, ...]) -> str | None:
    core, against, per_second, student, linear, minilm_int8, minilm, bert, unknown, teacher, to = names
    scores, rates = fidelity.medians_at_a_quarter(of_fidelity), speed.rates(of_speed)
    needed = (
        "default",
        "default_32_labels",
        "linear_ngram",
        "model2vec",
        "fasttext",
        "minilm_torch",
        "bert_base",
    )
    if scores is None or not {*needed, "minilm_onnxruntime_int8"} <= rates.keys():
        return None
    slowest, fastest = rate(rates["default_32_labels"]), rate(rates["default"])
    lines = [
        [f"**{student}**", f"**{scores['pingti']}**", f"**{slowest} {to} {fastest}**"],
        [linear, scores["linear_ngram"], rate(rates["linear_ngram"])],
        ["model2vec", scores["model2vec"], rate(rates["model2vec"])],
        ["fastText", scores["fasttext"], rate(rates["fasttext"])],
        [minilm_int8, unknown, rate(rates["minilm_onnxruntime_int8"])],
        [minilm, teacher, rate(rates["minilm_torch"])],
        [bert, unknown, rate(rates["bert_base"])],
    ]
    return table([core, against, per_second], lines)

"""Tables of ``teacher.json`` and ``reference.json``: how well teachers decide, and as whom."""

from typing import Any, Final

from benchmarks.tables.markdown import percent, rounded, score, table, times

_DATA: Final = {
    "clinc150": ("CLINC150, 150 intents", "MiniLM"),
    "weibo": ("Weibo's hot list, 9 classes", "a small Chinese BERT"),
    "thucnews": ("THUCNews, 10 classes", "a small Chinese BERT"),
    "waimai": ("waimai, 2 classes", "a small Chinese BERT"),
}
_SPEEDS: Final = {
    "weibo": ("Chinese titles of 11 characters", "4 layers of 256"),
    "bbc": ("English sentences of 123 characters", "MiniLM, fine-tuned on 600 of them"),
}
_REFERENCES: Final = {
    "thucnews": "THUCNews, three of 10 labels",
    "clinc150": "CLINC150, 15 of 150 labels",
    "weibo_hot": "Weibo's hot list, three of 9 labels",
}
Document = dict[str, Any]


def quality(document: Document) -> str:
    """Fine-tuned teachers beside both baselines."""
    lines = []
    for row in document["rows"]:
        data, encoder = _DATA[row["data"]]
        scores = [score(row[f"accuracy_{name}"]) for name in ("teacher", "ngram", "frozen")]
        lines.append([data, encoder, f"{row['labelled']:,}", *scores])
    return table(["data", "encoder", "labelled rows", "teacher", "n-grams", "frozen encoder"], lines, left=2)


def speed(document: Document) -> str:
    """A teacher beside the pipeline of transformers."""
    rows = {(row["data"], row["contender"]): row for row in document["speeds"]}
    lines = []
    for data, (texts, model) in _SPEEDS.items():
        ways = {
            contender: rows[data, contender] for contender in ("float32", "int8") if (data, contender) in rows
        }
        if ways:
            rates = [times(row["times_pipeline"]) for row in ways.values()]
            equal = [percent(row["equal_decisions"], 1) for row in ways.values()]
            off = rounded(ways["int8"]["largest_difference"], 3)
            lines.append([texts, model, *rates, *equal, off])
    headings = [
        "times the pipeline's texts/s",
        "model",
        "float32",
        "int8",
        "float32's decisions as the pipeline's",
    ]
    return table([*headings, "int8's", "int8: a probability off by at most"], lines, left=2)


def reference(rows: list[dict[str, Any]]) -> str:
    """The reference beside the user's own pipeline."""
    lines = []
    for row in rows:
        low, high = row["interval"]
        report = f"{score(row['f1_report'])}, {score(low)} to {score(high)}"
        later = f"{score(row['f1_later'])} on {row['later']:,}"
        lines.append([_REFERENCES[row["data"]], f"{row['texts']:,}", f"{row['differ']:,}", report, later])
    headings = ["data", "texts", "the reference differs", "F1 of the report, 95 %", "F1 on later texts"]
    return table(headings, lines)

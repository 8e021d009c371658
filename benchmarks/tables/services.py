"""Tables of ``queue.json`` and ``serverless.json``: jobs through the queue, and a function of AWS Lambda."""

import statistics
from typing import Any

from benchmarks.tables.markdown import percent, rate, rounded, table

Document = dict[str, Any]


def queue(document: Document) -> str:
    """Jobs through the queue beside the same work in one process."""
    load, wanted = document["load"], document["wanted"]
    lines = []
    for name, turns in document["rates"].items():
        plain = f"{rate(statistics.median(turns['plain']))} rows/s"
        share = percent(document["ratios"][name])
        lines.append([f"{load['rows']:,} titles, {name}", plain, share, percent(wanted[name])])
    for verb in ("accepted", "finished"):
        jobs = f"{load['jobs']:,} jobs of {load['rows_of_a_job']} rows, {verb}"
        measured = f"{rounded(document['jobs'][f'{verb}/s'], 0)} jobs/s"
        lines.append([jobs, "", measured, f"{wanted[f'jobs {verb}/s']} jobs/s"])
    return table(["what", "in one process", "through the queue", "wanted"], lines)


def waiting(document: Document) -> str:
    """How long jobs wait."""
    urgent, turns, aged = (document["waiting"][name] for name in ("urgent", "turns", "aged"))
    shards = f"{urgent['shards_waiting_at_the_end']:,.0f}"
    lines = [
        [
            f"an urgent job begins while {shards} shards wait, longest of 20",
            f"{rounded(urgent['longest_wait_seconds'], 2)} s",
            f"a shard's {rounded(urgent['shard_seconds'], 2)} s",
        ],
        [
            "the most that a long job has done when the small one of fifty ends",
            percent(turns["most_done_of_a_long_job"]),
            "below 10 %",
        ],
        [
            "a job of priority 9 begins in a stream of urgent ones",
            f"{rounded(aged['wait_seconds'], 1)} s",
            f"{rounded(aged['seconds_to_rise'], 1)} s of ageing, and a turn",
        ],
    ]
    return table(["what", "measured", "wanted"], lines)


def serverless(document: Document) -> str:
    """A function of AWS Lambda: cold start, warm events, cost."""
    cached, evicted = document["cold_start_s"], document["cold_start_files_not_cached_s"]
    one, hundred = document["one_text"], document["100_texts"]
    dollars, of_hundred = one["dollars_a_million_texts"], hundred["dollars_a_million_texts"]

    def two(cold: dict[str, float]) -> str:
        return f"{rounded(cold['cold_start'], 2)} s, {rounded(cold['longest'], 2)} s"

    def levels(values: dict[str, float]) -> str:
        return f"{rounded(values['p50'], 2)} ms, {rounded(values['p99'], 2)} ms"

    lines = [
        ["the zip, unpacked", f"{document['zipped_mb']:.0f} MB, {document['unpacked_mb']:.0f} MB", "250 MB"],
        [
            "cold start, from the process's start to its first answer, median and longest of 15",
            two(cached),
            "1.5 s",
        ],
        ["the same with files that the system does not have in its cache", two(evicted), ""],
        ["an event of one text, median and 99th percentile of 10,000", levels(one["wall_ms"]), "5 ms"],
        [
            "the same in processor time, without waiting for the other work",
            levels(one["processor_ms"]),
            "",
        ],
        [
            "an event of 100 texts, in processor time, median of 200",
            f"{rounded(hundred['processor_ms']['p50'], 1)} ms",
            "",
        ],
        ["memory", f"{document['resident_mb']:.0f} MB", ""],
        ["a million texts, 100 an event", f"${rounded(of_hundred['both'], 3)}", "$0.10"],
        [
            "a million texts, one an event: computing, and requests",
            f"${rounded(dollars['compute_1_gb'], 3)}, ${rounded(dollars['requests'], 2)}",
            "$0.10, $2 in the paper",
        ],
    ]
    return table(["what", "measured", "wanted"], lines)

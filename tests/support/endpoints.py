"""Endpoints on loopback that answer as services do, and fail as they do."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from typing import Any

from tests.support.http_servers import server
from tests.support.texts import WORDS

LOOPBACK = ("127.0.0.0/8",)
TOKENS = (40, 5)  # of a question and of an answer


def topic(text: str) -> str:
    """The topic that most words of a text are of."""
    counts = {name: sum(word in text for word in words) for name, words in WORDS.items()}
    return max(counts, key=lambda name: counts[name])


def completion(label: str, *, logprobs: bool = True, content: str | None = None) -> dict[str, Any]:
    """What a chat model answers; the label with a probability of .9, all others .1 together."""
    text = json.dumps({"label": label}) if content is None else content
    message: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
    if logprobs:
        message["logprobs"] = {
            "content": [
                {"token": '{"label": "', "logprob": 0.0, "top_logprobs": []},
                {
                    "token": label,
                    "logprob": -0.105,
                    "top_logprobs": [
                        {"token": label, "logprob": -0.105},
                        *({"token": name, "logprob": -3.0} for name in WORDS if name != label),
                    ],
                },
                {"token": '"}', "logprob": 0.0, "top_logprobs": []},
            ]
        }
    return {
        "choices": [message],
        "usage": {"prompt_tokens": TOKENS[0], "completion_tokens": TOKENS[1]},
    }


def answer_json(request: BaseHTTPRequestHandler, document: Any, status: int = 200, **headers: str) -> None:
    """Write an answer; a string is written as it is."""
    body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


class Chat:
    """A chat model of which each request meets the next of ``faults``."""

    def __init__(self, faults: Sequence[str], label: Callable[[str], str]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answered = 0
        self._faults = cycle(faults)
        self._label = label
        self._lock = threading.Lock()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        document = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self._lock:
            self.requests.append(document)
            self.headers.append(dict(request.headers))
            fault = next(self._faults)
            self.answered += fault in ("", "nologprobs", "malformed")
        label = self._label(document["messages"][1]["content"])
        match fault:
            case "500":
                answer_json(request, {"error": "overloaded"}, 500)
            case "504":
                answer_json(request, {}, 504)
            case "429":
                answer_json(request, {}, 429, Retry_After="0")
            case "broken":
                request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
            case "slow":
                time.sleep(1.5)
                answer_json(request, completion(label))
            case "malformed":
                answer_json(request, completion(label, logprobs=False, content="I think it is"))
            case "nologprobs":
                answer_json(request, completion(label, logprobs=False))
            case "401":
                answer_json(request, {}, 401)
            case "huge":
                answer_json(request, "x" * (9 << 20))
            case "html":
                answer_json(request, "<html>")
            case _:
                answer_json(request, completion(label))


@contextmanager
def chat(*faults: str, label: Callable[[str], str] = topic) -> Iterator[tuple[str, Chat]]:
    """A chat model on loopback: its address, and what it was asked."""
    model = Chat(faults or ("",), label)
    with server(model) as url:
        yield f"{url}/v1/chat/completions", model

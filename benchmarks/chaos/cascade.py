"""The task of a schedule whose student asks a teacher where it is not sure: an endpoint on loopback."""

import json
import random
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from pingti.files import write_json
from pingti.inference.classifier import Classifier
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from textcnn import Student

TASK = "asked"
_ANSWER_SECONDS = 0.3  # of a request, so that faults fall on shards that wait for the teacher
_REFUSED = 0.1  # share of the requests that are answered by 503
_UNSURE = (0.3, 0.7)  # quantiles of the scores between which the student is not sure


class Endpoint:
    """A teacher for all schedules: as Hugging Face's inference API, slow, and refusing some requests.

    Its decisions are no student's: ``match`` says yes.
    """

    def __init__(self, seed: int = 0) -> None:
        rng, lock = random.Random(seed), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
                time.sleep(_ANSWER_SECONDS)
                with lock:
                    refused = rng.random() < _REFUSED
                body = json.dumps([] if refused else [_scores(text) for text in texts]).encode()
                self.send_response(503 if refused else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing of requests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.section = (
            f'[teacher.endpoint]\nkind = "classifier"\nurl = "http://127.0.0.1:{self._server.server_port}"\n'
            "batch = 8\nconcurrency = 2\n"
        )
        """The teacher's part of a definition."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


def _scores(text: str) -> list[dict[str, Any]]:
    yes = 0.9 if _says_yes(text) else 0.1
    return [{"label": "no", "score": 1.0 - yes}, {"label": "yes", "score": yes}]


def _says_yes(text: str) -> bool:
    return "match" in text


def add_task(workspace: Workspace, student: Student, teacher: str, texts: Sequence[str]) -> None:
    """Add the task, promoted, with the network of another.

    Args:
        workspace: where to.
        student: of two classes, no and yes.
        teacher: the part of the definition that names it, in TOML.
        texts: of which the student is to be unsure of some.
    """
    entry = workspace.add_task(
        TASK,
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["../none.csv"]\n[watch]\nsample = 0\n'
        f"{teacher}[cascade]\n",
    )
    low, high = np.quantile(student.score(list(texts))[:, 1], _UNSURE).tolist()
    cascade = {"second": "teacher", "on_no_teacher": "fail", "bands": {"default": [low, high]}}
    metadata = {
        **student.metadata,
        "task": TASK,
        "cascade": {"agreement": 0.97, "confidence": 0.95, **cascade},
    }
    own = Student(student.folded, student.vocabulary, student.classes, student.architecture, metadata)
    folder = entry.folder / "students" / "1"
    own.save(folder)
    write_json(folder / "report.json", {})  # of which a teacher is asked that it names none
    promotion.promote(entry, 1, who="chaos", why="made for it", force=True)


def expected(workspace: Workspace, texts: Sequence[str]) -> list[tuple[str, str]]:
    """What a job must say of each text, and who must have said it.

    Args:
        workspace: has the task.
        texts: of a job.
    """
    alone = Classifier.of(workspace, [TASK]).classify(list(texts))
    decided = zip(texts, alone.column(TASK).to_pylist(), alone.column(f"{TASK}_by").to_pylist(), strict=True)
    return [
        (("yes" if _says_yes(text) else "no"), "teacher") if by == "unsure" else (label, by)
        for text, label, by in decided
    ]

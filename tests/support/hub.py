"""A hub of models on loopback: what huggingface_hub asks for to fetch a repository and to commit to it."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.http_servers import server

COMMIT = "c" * 40


@dataclass
class Hub:
    """Repositories in memory, and what was asked of them."""

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By repository its files."""
    created: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests that make a repository."""
    fetched: list[str] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            name = self.created[-1].get("organization", "team") + "/" + self.created[-1]["name"]
            self.files.setdefault(name, {})
            send(request, {"url": f"{self.url}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            send(request, {"errors": [], "warnings": []})
        elif path.startswith("/api/models/"):
            owner, model, *rest = path.removeprefix("/api/models/").split("/")
            self._model(request, f"{owner}/{model}", rest, body)
        else:
            self._file(request, path)

    def _model(self, request: BaseHTTPRequestHandler, name: str, rest: list[str], body: bytes) -> None:
        if name not in self.files:
            send(request, {"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif rest[:1] == ["preupload"]:
            asked = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]
            send(request, {"files": modes})
        elif rest[:1] == ["commit"]:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.files[name][line["value"]["path"]] = content
            url = f"{self.url}/{name}/commit/{COMMIT}"
            send(request, {"commitUrl": url, "commitOid": COMMIT, "success": True})
        elif rest[:1] == ["tree"]:
            tree = [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in self.files[name].items()
            ]
            send(request, tree)
        else:
            siblings = [{"rfilename": path} for path in self.files[name]]
            send(request, {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False})

    def _file(self, request: BaseHTTPRequestHandler, path: str) -> None:
        owner, model, _, _, file = path.lstrip("/").split("/", 4)
        content = self.files[f"{owner}/{model}"][file]
        if request.command == "GET":
            self.fetched.append(file)
        request.send_response(200)
        request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content)


def send(
    request: BaseHTTPRequestHandler, value: Any, status: int = 200, headers: dict[str, str] | None = None
) -> None:
    """Answer by JSON."""
    content = json.dumps(value).encode()
    request.send_response(status)
    for name, text in (headers or {}).items():
        request.send_header(name, text)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub that answers at its ``url``."""
    models = Hub()
    with server(models.answer) as url:
        models.url = url
        yield models

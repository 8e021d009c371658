"""What a request passes before a route sees it: host, origin, key, body size; and the answers' headers.

A plain ASGI middleware: it acts before a byte of the body is read, so that nobody without the key can make
the server parse or store anything.
"""

import hmac
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_response

MAX_BODY_BYTES = 1024 * 1024  # every body but an upload: a job request with thousands of inputs fits
MULTIPART_OVERHEAD_BYTES = 64 * 1024

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_HEADERS = {
    # No inline script or style, nothing from another host, no framing.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware. ``api_key`` None: no key is asked for, and only loopback names are answered."""

    def __init__(
        self, app: ASGIApp, *, api_key: str | None, upload_bytes: int, hosts: frozenset[str]
    ) -> None:
        self.app = app
        self.api_key = api_key.encode() if api_key is not None else None
        self.upload_bytes = upload_bytes
        self.hosts = hosts | _LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit(scope)
        refusal = self._refuse(scope, headers, limit)
        seen = 0

        async def counted() -> Message:
            # A chunked body tells no length beforehand; one with a length may lie.
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                # HTTPException is the one error that FastAPI passes on while it reads a body.
                raise HTTPException(413, _too_large(limit))
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
                # Pages are asked for again each time (and mostly not sent again), so that none is stale.
                private = scope["path"].startswith("/v1")
                answer.setdefault("Cache-Control", "no-store" if private else "no-cache")
            await send(message)

        if refusal is not None:
            await refusal(scope, receive, with_headers)
        else:
            await self.app(scope, counted, with_headers)

    def _limit(self, scope: Scope) -> int:
        if scope["path"] == "/v1/files":
            return self.upload_bytes + MULTIPART_OVERHEAD_BYTES
        return MAX_BODY_BYTES

    def _refuse(self, scope: Scope, headers: Headers, limit: int) -> Response | None:
        host = headers.get("host", "")
        # Without a key, a foreign name that resolves to 127.0.0.1 (DNS rebinding) would let any web page in.
        if self.api_key is None and _name(host) not in self.hosts:
            return problem_response(
                "forbidden", f"Host {host!r} is not answered without an API key; allowed are loopback names."
            )
        origin = headers.get("origin")
        if (
            scope["method"] not in _SAFE_METHODS
            and origin is not None
            and urlsplit(origin).netloc.lower() != host.lower()
        ):
            return problem_response(
                "forbidden", f"A page of {origin} may not change anything on this server."
            )
        if scope["path"].startswith("/v1") and not self._knows(headers):
            return problem_response(
                "unauthorized", "This server asks for its key: send Authorization: Bearer KEY."
            )
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > limit:
            # The connection stays open: closing it under a client that still writes would lose this answer.
            return problem_response("too-large", _too_large(limit))
        return None

    def _knows(self, headers: Headers) -> bool:
        if self.api_key is None:
            return True
        scheme, _, key = headers.get("authorization", "").partition(" ")
        # Bytes as they came (header text is Latin-1), compared in a time that tells nothing of the key.
        given = key.strip().encode("latin-1", "replace")
        return hmac.compare_digest(given, self.api_key) and scheme.lower() == "bearer"


def _too_large(limit: int) -> str:
    return f"The body is larger than the limit of {limit:,} bytes."


def _name(host: str) -> str:
    """The host's name without its port: ``[::1]:8080`` gives ``::1``."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""

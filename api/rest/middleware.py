"""What a request passes before a route sees it: host, origin, key, role, body size; and the answers' headers.

A plain ASGI middleware: it acts before a byte of the body is read, so that nobody without a key can make
the server parse or store anything.
"""

import ipaddress
import logging
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.keys import LOCAL, Caller, KeyRing, Role
from api.rest.problems import problem_response
from pingti.errors import ArtifactError

MAX_BODY_BYTES = 1024 * 1024  # every body but an upload: a job request with thousands of inputs fits
MULTIPART_OVERHEAD_BYTES = 64 * 1024
SAFE_KEY_BYTES = 16  # nobody guesses a key so long; those of pingti keys have 50

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# What a key of role submit may change; every other change is an admin's.
_SUBMIT = re.compile(r"/v1/(?:jobs|files|columns|classify)(?:/.*)?|/v1/tasks/[^/]+/labels", re.DOTALL)
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
BEARER = HTTPBearer(auto_error=False, description="A key, where the server has any: see pingti keys.")
"""For routes' ``dependencies``: it writes the key into the OpenAPI document. Guard asks for it."""
_log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether a server that listens on ``host`` can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Any other name may resolve to anything.
        return False


def needed_role(method: str, path: str) -> Role:
    """The role that a request under ``/v1`` needs."""
    if method in _SAFE_METHODS:
        return Role.READ
    return Role.SUBMIT if _SUBMIT.fullmatch(path) else Role.ADMIN


class Guesses:
    """Wrong keys by peer: after some, a peer waits, each time twice as long. Memory is bounded."""

    FREE = 20
    LONGEST_SECONDS = 60.0
    FORGET_SECONDS = 900.0

    def __init__(self, *, most_peers: int = 10_000, now: Callable[[], float] = time.monotonic) -> None:
        self._peers: OrderedDict[str, tuple[int, float]] = OrderedDict()  # wrong keys, time of the last
        self._most, self._now = most_peers, now

    def wait(self, peer: str) -> float:
        """Seconds that ``peer`` must still wait before another guess counts."""
        count, last = self._peers.get(_network(peer), (0, 0.0))
        if count < self.FREE:
            return 0.0
        pause = min(2.0 ** min(count - self.FREE, 30), self.LONGEST_SECONDS)
        return max(0.0, last + pause - self._now())

    def wrong(self, peer: str) -> None:
        """Count a wrong key of ``peer``."""
        now, key = self._now(), _network(peer)
        count, last = self._peers.pop(key, (0, now))
        self._peers[key] = (1 if now - last > self.FORGET_SECONDS else count + 1, now)
        if len(self._peers) > self._most:
            self._peers.popitem(last=False)


def _network(peer: str) -> str:
    """An IPv6 peer owns its /64 as a rule: all of it counts as one."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return peer


class Guard:
    """ASGI middleware. While there is no key at all, only loopback names are answered, as an admin.

    The caller is left in ``request.state.caller``.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyRing, upload_bytes: int, host: str) -> None:
        """``upload_bytes``: size of the largest file that is taken; ``host``: where the server listens."""
        self.app = app
        self.keys = keys
        self.upload_bytes = upload_bytes
        self.local_only = is_loopback(host)
        self.hosts = _LOOPBACK | ({host} if self.local_only else set())
        self.guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may not pass; hand any other on."""
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
                private = _is_private(scope["path"])
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
        # Two servers in a row may take such a body for two different ones (request smuggling).
        if "content-length" in headers and "transfer-encoding" in headers:
            return problem_response(
                "bad-request",
                "The request has both Content-Length and Transfer-Encoding; allowed is one of them.",
                headers={"Connection": "close"},
            )
        try:
            locked = bool(self.keys.keys()) or not self.local_only
        except ArtifactError as error:
            _log.error("%s", error)
            return problem_response("damaged-artifact", "The file of keys is damaged; nobody is let in.")
        host = headers.get("host", "")
        # Without a key, a foreign name that resolves to 127.0.0.1 (DNS rebinding) would let any web page in.
        if not locked and _name(host) not in self.hosts:
            return problem_response(
                "forbidden", f"Host {host!r} is not answered without an API key; allowed are loopback names."
            )
        origin = headers.get("origin")
        if (
            scope["method"] not in _SAFE_METHODS
            and origin is not None
            and _network_location(origin) != host.lower()
        ):
            return problem_response(
                "forbidden", f"A page of {origin} may not change anything on this server."
            )
        if _is_private(scope["path"]):
            refusal = self._admit(scope, headers, locked)
            if refusal is not None:
                return refusal
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > limit:
            # The connection stays open: closing it under a client that still writes would lose this answer.
            return problem_response("too-large", _too_large(limit))
        return None

    def _admit(self, scope: Scope, headers: Headers, locked: bool) -> Response | None:
        """Find out who asks, and whether they may."""
        caller: Caller | None = Caller(name=LOCAL, role=Role.ADMIN)
        if locked:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            peer = (scope.get("client") or ("",))[0]
            # Bytes as they came (header text is Latin-1, where a letter's second byte may look like a space).
            given = key.strip(" \t").encode("latin-1", "replace")
            # Nothing is no key, whatever the keys are.
            caller = self.keys.caller(given) if scheme.lower() == "bearer" and given else None
            # A right key that nobody can guess is let in whatever else comes from its address, which may be
            # a proxy's. A short one waits, too: else a guesser would find it while being slowed down.
            wait = self.guesses.wait(peer) if key and (caller is None or len(given) < SAFE_KEY_BYTES) else 0.0
            if wait > 0:
                return problem_response(
                    "too-many",
                    "Too many wrong keys came from your address; wait before you send another.",
                    headers={"Retry-After": str(math.ceil(wait))},
                )
            if caller is None:
                if key:
                    self.guesses.wrong(peer)
                return problem_response(
                    "unauthorized", "This server asks for a key: send Authorization: Bearer KEY."
                )
        assert caller is not None
        needed = needed_role(scope["method"], scope["path"])
        if not caller.role.allows(needed):
            return problem_response(
                "forbidden",
                f"The key {caller.name!r} has the role {caller.role}; this request needs {needed}.",
            )
        scope.setdefault("state", {})["caller"] = caller
        return None


def _is_private(path: str) -> bool:
    """Whether a key is asked for, where there are keys."""
    return path.startswith("/v1") or path == "/metrics"


def _too_large(limit: int) -> str:
    return f"The body is larger than the limit of {limit:,} bytes."


def _network_location(origin: str) -> str | None:
    """``host:port`` of an Origin; None for one that cannot be read, which is no page of ours."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _name(host: str) -> str:
    """The host's name without its port: ``[::1]:8080`` gives ``::1``."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""

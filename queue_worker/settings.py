"""Settings of the service: read from ``PINGTI_*`` environment variables, the same in every process."""

import base64
import ipaddress
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pingti.errors import InputError
from pingti.http.bearer_key import bearer_key
from pingti.remote import Entry
from pingti.validation import faults_of, sentence
from pingti.workspace.storage import Cache, Storage
from queue_worker import addresses


class FileStamp(BaseModel):
    """What tells a file from another one that took its place."""

    model_config = ConfigDict(frozen=True)

    size: int = Field(ge=0, description="Bytes.")
    mtime_ns: int = Field(description="When its content was last changed, in nanoseconds since 1970.")
    inode: int = Field(description="Its number in the file system.")
    ctime_ns: int | None = Field(
        default=None,
        description="When the file system was last told to change it or what it is called, which nobody can "
        "set back; absent in a job that an older version accepted.",
    )
    tag: str | None = Field(
        default=None, description="Of an object in a store: its ETag or generation; the numbers above are 0."
    )

    @classmethod
    def of_object(cls, entry: Entry) -> Self:
        """What tells an object of a store from one that took its place."""
        return cls(size=entry.size, mtime_ns=0, inode=0, tag=entry.tag)

    @classmethod
    def of(cls, path: str | Path) -> Self:
        """What tells a file now from a later one.

        Raises:
            OSError: there is no such file.
        """
        status = os.stat(path)  # noqa: PTH116
        return cls(
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            inode=status.st_ino,
            ctime_ns=status.st_ctime_ns,
        )

    def fits(self, path: str | Path) -> bool:
        """Whether the file at ``path`` is still the one that was stamped.

        Raises:
            OSError: there is no such file.
        """
        now = type(self).of(path)
        return self == (now if self.ctime_ns is not None else now.model_copy(update={"ctime_ns": None}))


def _store_address(address: str) -> str:
    try:
        return Storage(address).address
    except InputError as error:
        raise ValueError(str(error)) from None


@lru_cache(maxsize=16)
def _cache(folder: Path, most_bytes: int) -> Cache:
    return Cache(folder, most_bytes)


def _variable(pointer: str) -> str:
    """The variable that sets the field of a JSON pointer."""
    return f"PINGTI_{pointer.split('/')[1].upper()}" if pointer else "settings"


class Settings(BaseSettings):
    """One immutable value; ``PINGTI_HOME``, ``PINGTI_REDIS_URL`` and so on set the fields.

    A wrong value raises pydantic's ValidationError, which names the field. Processes read theirs by
    ``of_environment``.
    """

    # Values may be secrets, and errors end in logs.
    model_config = SettingsConfigDict(
        env_prefix="PINGTI_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(default=Path("workspace"), description="The workspace folder.")
    # May hold a password, hence never shown.
    redis_url: str | None = Field(
        default=None, repr=False, description="Valkey or Redis (see docs/queue.md); none: embedded."
    )
    broker_url: str | None = Field(
        default=None,
        repr=False,
        description="Where messages go: amqp:// or amqps:// for RabbitMQ; none: the server of redis_url.",
    )
    input_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Jobs may read files below these folders only. Empty: below home only."
    )
    store: str | None = Field(
        default=None,
        description="Address of an object store (s3://bucket/pingti) where students, uploads, job parts and "
        "manifests live: classify workers then share no folder. None: all of it is in home.",
    )
    input_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses of object stores below which jobs may read, comma-separated "
        "(s3://bucket/texts). None: none.",
    )
    output_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Addresses below which jobs may write results, comma-separated. None: none."
    )
    cache: Path | None = Field(
        default=None, description="Folder for copies of objects of stores. None: cache in home."
    )
    cache_bytes: int = Field(
        default=10 << 30,
        ge=1,
        description="Bytes that those copies may take, about. Of an input above a quarter of it no copy is "
        "made: it is read where it is.",
    )
    host: str = Field(default="127.0.0.1", description="Where the API listens.")
    port: int = Field(default=8080, ge=0, le=65535, description="Its port; 0: a free one.")
    api_key: SecretStr | None = Field(
        default=None,
        description="Bearer key; without any, only this machine is answered. Take 16 bytes or more: while "
        "wrong keys from an address are slowed down, a shorter right one from there has to wait, too.",
    )

    log_format: Literal["text", "json"] = Field(
        default="text",
        description="Of the processes' logs. JSON: one object a line, with job, shard and trace, and without "
        "words that may quote a text.",
    )

    shard_seconds: float = Field(
        default=1.5, gt=0, description="About how long a shard takes: urgent work waits so long for a thread."
    )
    shard_rows: int = Field(default=1_000_000, ge=1, description="Most rows in a shard.")
    shard_bytes: int = Field(default=128 << 20, ge=1, description="Most bytes of text in a shard.")
    small_bytes: int = Field(
        default=64 << 10, ge=0, description="Inputs of a job up to this size are not cut, but done in one go."
    )
    ageing_minutes: float = Field(
        default=30.0, ge=0, description="A job rises one priority level each so many minutes; 0: never."
    )
    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Threads of a classifying worker."
    )
    cached_classifiers: int = Field(
        default=4, ge=1, description="Sets of students that a worker keeps loaded, by pinned versions."
    )

    lease_seconds: float = Field(
        default=15.0, gt=0, description="A unit of work whose worker is silent this long goes to another."
    )
    heartbeat_seconds: float = Field(
        default=3.0, gt=0, description="How often a worker renews a lease: at most a third of lease_seconds."
    )
    reap_seconds: float = Field(default=2.0, gt=0, description="How often expired leases are looked for.")
    max_attempts: int = Field(default=5, ge=1, description="Attempts at a unit before its job fails.")
    retry_seconds: float = Field(
        default=1.0,
        ge=0,
        description="How long a unit waits after its first failure that may pass (a full disk, say); twice "
        "as long after each further one.",
    )
    durable: bool = Field(
        default=True,
        description="Refuse jobs when the server keeps no append-only file; false: accept them all the same.",
    )
    durable_seconds: float = Field(
        default=10.0, ge=0.001, description="How long submit waits for the server's disk before it gives up."
    )
    idempotency_seconds: int = Field(default=7 * 86_400, ge=1, description="Life of an idempotency key.")

    teacher_seconds: float = Field(
        default=600.0,
        ge=0,
        description="How long shards of a cascade wait for a worker of the queue teach or retrain, which "
        "have the teacher, where none runs; then cascade.on_no_teacher of the definition says what becomes "
        "of them.",
    )
    retrain_seconds: float = Field(default=6 * 3600.0, gt=0, description="Time limit of one retraining.")

    retention_days: float = Field(
        default=30.0,
        gt=0,
        description="Ended jobs with their results, and uploads that no unfinished job reads, are deleted "
        "after so many days.",
    )
    key_jobs: int = Field(
        default=1000,
        ge=1,
        description="Most unfinished jobs of one API key (of role read or submit; so, too, below).",
    )
    key_rows: int = Field(
        default=1_000_000_000,
        ge=1,
        description="Most rows in the unfinished jobs of one API key. Those of Parquet are counted when a "
        "job is submitted, others before its first shard is classified: above the limit it fails.",
    )
    key_bytes: int = Field(default=256 << 30, ge=1, description="Most bytes of one API key's uploads.")

    url_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Hosts from which a job's inputs may be fetched, comma-separated. None: none."
    )
    private_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Networks (10.0.0.0/8, ...) that fetches, callbacks and teachers' endpoints may "
        "reach although they are not public, comma-separated.",
    )
    callback_secret: SecretStr | None = Field(
        default=None,
        description="Signs callbacks: whsec_ and 24 to 64 bytes in base64. None: made once, kept in home.",
    )
    callback_pauses: Annotated[tuple[float, ...], NoDecode] = Field(
        default=(5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800),
        description="Seconds between attempts at a callback, comma-separated; then it is given up.",
    )
    callback_seconds: float = Field(default=15.0, gt=0, description="Time limit of one attempt.")

    @classmethod
    def of_environment(cls) -> Self:
        """The settings of this process; InputError, one sentence without secrets, for a wrong variable."""
        try:
            return cls()
        except ValidationError as error:
            faults = faults_of(error.errors(include_url=False, include_input=False))
        # Not in the except block: the error there knows the values.
        raise InputError(sentence(faults, _variable), faults=faults)

    @field_validator("api_key", mode="before")
    @classmethod
    def _bearer_key(cls, value: Any) -> Any:
        # Before it is a SecretStr: what is not text is refused there with its value.
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return bearer_key(text) if isinstance(text, str) else text

    @field_validator(
        "url_hosts", "private_networks", "callback_pauses", "input_urls", "output_urls", mode="before"
    )
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("input_urls", "output_urls")
    @classmethod
    def _prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_store_address(address) for address in value)

    @field_validator("store")
    @classmethod
    def _store(cls, value: str | None) -> str | None:
        return None if value is None else _store_address(value)

    @field_validator("url_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower().rstrip(".") for host in value)

    @field_validator("private_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(network)) for network in value)

    @field_validator("redis_url")
    @classmethod
    def _scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(addresses.SCHEMES):
            raise ValueError(f"needed is one of {', '.join(addresses.SCHEMES)} and an address")
        if value is not None:
            addresses.watched(value)
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("amqp://", "amqps://")):
            raise ValueError("needed is amqp:// or amqps:// and an address; none: messages go to redis_url")
        return value

    @field_validator("callback_secret")
    @classmethod
    def _signing_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            text = value.get_secret_value()
            try:
                key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
            except ValueError:
                key = b""
            if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
                raise ValueError("needed is whsec_ and 24 to 64 bytes in base64")
        return value

    @field_validator("input_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: Any) -> Any:
        """The environment variable holds folders separated as in ``PATH``."""
        if isinstance(value, str):
            return tuple(part for part in value.split(os.pathsep) if part)
        return value

    @field_validator("home")
    @classmethod
    def _absolute_home(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("input_roots")
    @classmethod
    def _absolute_roots(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(root.expanduser().absolute() for root in value)

    @model_validator(mode="after")
    def _lease_outlasts_heartbeats(self) -> Self:
        # Else a living worker's unit goes to another, which loses it in turn, until its attempts are spent.
        if self.heartbeat_seconds > self.lease_seconds / 3:
            raise ValueError(
                f"heartbeat_seconds is {self.heartbeat_seconds:g}; allowed is up to a third of "
                f"lease_seconds, which is {self.lease_seconds:g}"
            )
        return self

    @property
    def storage(self) -> Storage | None:
        """The store of students, uploads and results; None where they are in ``home``."""
        return None if self.store is None else Storage(self.store)

    @property
    def copies(self) -> Cache:
        """Local copies of objects of stores."""
        return _cache(self.cache or self.home / "cache", self.cache_bytes)

    @property
    def ageing_ms(self) -> int:
        """``ageing_minutes`` in milliseconds."""
        return int(self.ageing_minutes * 60_000)

    def environment(self) -> dict[str, str]:
        """The variables that make these settings again in a child process (they hold secrets)."""
        variables: dict[str, str] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            elif isinstance(value, tuple):
                separator = os.pathsep if name == "input_roots" else ","
                value = separator.join(str(part) for part in value)
            variables[f"PINGTI_{name.upper()}"] = str(value)
        return variables

    def allowed_input(self, path: str) -> Path:
        """The real path of a job's input file; a relative path counts from ``home``.

        ``..`` and symbolic links are resolved first, so that neither leads out of the allowed folders.

        Raises:
            InputError: the path is not a readable regular file below an allowed folder.
        """
        if "://" in path:
            raise InputError(f"{path!r} is an address; a job's input is a file below {self.roots_text()}")
        if not path or "\0" in path:
            raise InputError("an input path must not be empty or hold a NUL character")
        try:
            real = (self.home / path).resolve(strict=True)
        except (OSError, RuntimeError):
            # The same words for a missing file and for one that may not be seen: a caller of the API
            # learns nothing about files outside the allowed folders.
            raise self._refused(path) from None
        if not any(real.is_relative_to(root) for root in self.real_roots()):
            raise self._refused(path)
        if not stat.S_ISREG(real.stat().st_mode) or not os.access(real, os.R_OK):
            raise InputError(f"{path!r} is not a file that can be read")
        return real

    def real_roots(self) -> list[Path]:
        """Folders below which a caller may name files, symbolic links resolved."""
        # What was uploaded through the API may always be read.
        return [root.resolve() for root in (*(self.input_roots or (self.home,)), self.home / "uploads")]

    def roots_text(self) -> str:
        """The same as text for people."""
        return ", ".join(str(root) for root in (self.input_roots or (self.home,)))

    def _refused(self, path: str) -> InputError:
        if re.fullmatch(r"file-[0-9a-f]{22}", path):  # as api/rest names uploads
            return InputError(f"there is no uploaded file {path}, or no more; upload it again")
        return InputError(
            f"{path!r} is not a file below an allowed folder ({self.roots_text()}); correct the path, or "
            "upload the file"
        )

"""The Python client of a running service: a thin, typed one over REST.

    from pingti import Client

    with Client("http://127.0.0.1:8080") as client:
        job = client.submit(["titles.csv"], ["sport", "topic@live"])
        client.wait(job.id)
        frame = client.results(job.id, form="pandas")

Problem documents become Pingti's own errors. Nothing is tried again by itself but a submission with an
idempotency key, which cannot make two jobs.
"""

import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pingti import files
from pingti.calls.answers import DeniedError, JobFailedError, LimitError, error_of, unsendable
from pingti.calls.asking import Body, given
from pingti.calls.inputs import files_here, listed_inputs, text_strings
from pingti.calls.tasks import TaskCalls
from pingti.calls.watching import ENDED, FIRST_LOOK_SECONDS, Watch
from pingti.errors import InputError, UnavailableError
from pingti.frames.tables import Form, as_form, needed
from pingti.http.bearer_key import bearer_key
from pingti.http.proxies import transport_for
from pingti.rest_models import (
    ClassifyOut,
    FileOut,
    JobListOut,
    JobOut,
)

__all__ = ["ENDED", "LOCAL", "Client", "DeniedError", "JobFailedError", "LimitError"]

LOCAL = "http://127.0.0.1:8080"

_TRIES = 3
_MOST_PORT = 65_535


class Client(TaskCalls):
    """A connection to a service. Safe for threads; a ``with`` block closes it.

    Examples:
        >>> from pingti import Client
        >>> with Client() as client:  # of PINGTI_URL and PINGTI_API_KEY
        ...     [task.name for task in client.tasks()]
        ...     answer = client.classify(["the goal match team coach"], ["sport", "topic"])
        ['sport', 'tech', 'topic']
        >>> {task: decision.label for task, decision in answer.results[0].items()}
        {'sport': 'yes', 'topic': 'sport'}
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout: float = 60.0) -> None:
        """Nothing is sent yet.

        Args:
            url: the service's address; of PINGTI_URL where absent, else this machine's service.
            key: an API key; of PINGTI_API_KEY where absent, else none.
            timeout: seconds that the service may be silent within one request.

        Raises:
            InputError: the key cannot be sent.
        """
        self.url = url or os.environ.get("PINGTI_URL") or LOCAL
        key = key or os.environ.get("PINGTI_API_KEY")
        try:
            headers = [(b"Authorization", f"Bearer {bearer_key(key)}".encode())] if key else None
        except ValueError as error:
            raise InputError(f"PINGTI_API_KEY or key: {error}") from None
        try:
            self._http = httpx.Client(
                base_url=_address(self.url),
                headers=headers,
                timeout=timeout,
                transport=transport_for(self.url),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise InputError(
                f"{self.url[:200]!r} is not a service's address: {error}; one is {LOCAL}"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    # -- files

    def upload(self, path: Path | str) -> FileOut:
        """Send a file; the ``id`` of the answer is what a job takes as an input.

        Raises:
            InputError: the file cannot be read here, or is not taken there.
        """
        try:
            with Path(path).open("rb") as file:
                answer = self._ask("POST", "/v1/files", files={"file": (Path(path).name, file)})
        except OSError as error:
            raise InputError(f"{path}: not readable: {error.strerror}") from error
        return self._read(FileOut, answer)

    # -- jobs

    def submit(
        self,
        inputs: Any,
        tasks: Sequence[str] | str,
        *,
        upload: bool = True,
        text: str = "text",
        id: str | None = None,
        priority: int | None = None,
        metadata: Mapping[str, str] | None = None,
        callback: str | None = None,
        idempotency_key: str | None = None,
        delimiter: str | None = None,
        quoting: Literal["auto", "quoted", "none"] = "auto",
        escape: str | None = None,
        encoding: str | None = None,
        max_bad_rows: int | float | None = None,
        keep: Sequence[str] = (),
        output: str | None = None,
    ) -> JobOut:
        """Submit a job.

        Args:
            inputs: one or several: files that are here, which are uploaded first; folders and patterns
                (``days/*.csv``), of which the files are, in order of their names; ids of uploads; files,
                folders and patterns on the server; URLs of hosts that it allows; frames of pandas, polars or
                datasets and Arrow tables, of which the columns ``text`` and ``id`` are uploaded. Where a name
                is both here and there, ``upload`` decides. A column that only the names of folders tell
                (``day=2025-11-03``) does not travel: name the folder on the server then.
            tasks: one or several label tasks: "task", or "task@scene" (operating point); each may end in
                "#version".
            upload: whether to send what is here.
            text: column of the texts.
            id: column of the ids; the row's number where absent.
            priority: 0 runs first, 9 last; the most urgent of the tasks' own where absent.
            metadata: notes that the job keeps.
            callback: address that is told of the job's end.
            idempotency_key: any text of your own; sent again with the same request it gives the same job.
            delimiter: of CSV and TSV, what separates fields; by the file's name and header where absent.
            quoting: of CSV and TSV, whether fields stand in quotes; "auto": in CSV they do.
            escape: of CSV and TSV, what stands before a quote in quotes; it is doubled where absent.
            encoding: of text files; UTF-8 where absent.
            max_bad_rows: bad rows that are allowed (100), or their share (0.05): with more the job fails; any
                but all where absent.
            keep: further columns that go along into the results, in their types; of a partitioned table also
                those of its folders' names.
            output: address of an object store's folder that gets the results, below one that the server
                allows (``s3://bucket/results/today``).

        Returns:
            The job as it was accepted.

        Raises:
            InputError: an input, a task or a column cannot be used.
            LimitError: a limit of the key is reached.
            UnavailableError: the service or its broker does not answer.
        """
        ready = listed_inputs(inputs, text=text, id=id, keep=keep)
        if upload:
            ready = files_here(ready)
        sent = [self._sent(one, upload) for one in ready]
        body = {
            "inputs": [new.id if new else str(one) for one, new in zip(ready, sent, strict=True)],
            "tasks": [tasks] if isinstance(tasks, str) else list(tasks),
            "metadata": dict(metadata or {}),
            **given(text=text, id=id, priority=priority, callback=callback, max_bad_rows=max_bad_rows),
            **given(output=output),
            **given(delimiter=delimiter, escape=escape, encoding=encoding),
            **given(quoting=None if quoting == "auto" else quoting, keep=list(keep) or None),
        }
        job = self._submitted(body, idempotency_key)
        self._delete_unused(job, filter(None, sent))
        return job

    def _sent(self, given: str | Path | pa.Table, upload: bool) -> FileOut | None:
        """Upload an input that is here; None where the service has it."""
        if isinstance(given, pa.Table):
            with tempfile.TemporaryDirectory(prefix="pingti-") as folder:
                path = Path(folder) / "frame.parquet"
                pq.write_table(given, path, compression="zstd")
                return self.upload(path)
        return self.upload(given) if upload and Path(given).is_file() else None

    def _delete_unused(self, job: JobOut, sent: Iterable[FileOut]) -> None:
        """Delete uploads that a job does not use: it is one of before, with uploads of its own."""
        for stored in sent:
            if not any(stored.id in path for path in job.inputs):
                self._ask("DELETE", f"/v1/files/{stored.id}")

    def _submitted(self, body: Mapping[str, Any], idempotency_key: str | None) -> JobOut:
        """The job of a request, which is sent again only where that cannot make a second job."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}
        for attempt in range(_TRIES if idempotency_key is not None else 1):
            try:
                return self._read(JobOut, self._ask("POST", "/v1/jobs", json=body, headers=headers))
            except UnavailableError:
                if attempt == _TRIES - 1 or idempotency_key is None:
                    raise
                time.sleep(FIRST_LOOK_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    def job(self, id: str) -> JobOut:
        """A job as it is now.

        Raises:
            NotFoundError: there is no job of that id.
        """
        return self._read(JobOut, self._ask("GET", _path(id)))

    def jobs(
        self, *, status: str | None = None, task: str | None = None, owner: str | None = None
    ) -> Iterator[JobOut]:
        """All jobs, newest first, page by page.

        Args:
            status: only jobs with this status.
            task: only jobs that ask this task.
            owner: only jobs of the key of this name.
        """
        cursor: str | None = None
        while True:
            query = {"status": status, "task": task, "owner": owner, "cursor": cursor, "limit": 100}
            page = self._read(JobListOut, self._ask("GET", "/v1/jobs", params=given(**query)))
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def wait(
        self,
        id: str,
        *,
        timeout: float | None = None,
        progress: bool | Callable[[JobOut], None] | None = None,
    ) -> JobOut:
        """Wait until a job is completed. A service that starts again meanwhile is waited for.

        Args:
            id: the job's id.
            timeout: seconds; without end where absent.
            progress: a bar on standard error (by itself on a terminal), or a function that gets the job
                after every look.

        Returns:
            The completed job.

        Raises:
            JobFailedError: the job failed or was cancelled.
            UnavailableError: the time is over, or the service stayed away for a minute.
        """
        with Watch(self.job, id, timeout=timeout, progress=progress) as watch:
            while (pause := watch.look()) is not None:
                time.sleep(pause)
            return watch.job

    def cancel(self, id: str) -> JobOut:
        """Stop a job at the next shard's border.

        Raises:
            ConflictError: the job has ended.
        """
        return self._read(JobOut, self._ask("POST", f"{_path(id)}/cancel"))

    def delete(self, id: str) -> None:
        """Remove a job that has ended, with its results.

        Raises:
            ConflictError: the job has not ended.
        """
        self._ask("DELETE", _path(id))

    def results(self, id: str, form: Form = "arrow") -> Any:
        """Read a job's results.

        Args:
            id: the job's id.
            form: what to return; the package of that name must be installed.

        Returns:
            A pyarrow.Table, or a frame of pandas or polars: id, then for every task its class and score.

        Raises:
            ConflictError: the job has not ended.
            UnavailableError: the package is not installed.
        """
        needed(form)  # before anything is fetched
        answer = self._ask("GET", f"{_path(id)}/results", params={"format": "parquet"})
        return as_form(pq.read_table(io.BytesIO(answer.content)), form)

    def download(
        self, id: str, target: Path | str, form: Literal["parquet", "jsonl", "csv"] = "parquet"
    ) -> int:
        """Stream a job's results into a file, which appears only when it is whole.

        Args:
            id: the job's id.
            target: the file; one that is there is replaced.
            form: its format.

        Returns:
            The file's size in bytes.
        """
        return self._download(f"{_path(id)}/results", Path(target), {"format": form})

    def download_errors(self, id: str, target: Path | str) -> int:
        """Stream a job's bad rows so far into a file, one JSON object a line; its size in bytes."""
        return self._download(f"{_path(id)}/errors", Path(target), {})

    def _download(self, path: str, target: Path, query: Mapping[str, str]) -> int:
        try:
            with self._http.stream("GET", path, params=query) as answer:
                if not answer.is_success:
                    answer.read()
                    raise error_of(answer)
                with files.replacing(target) as temporary, temporary.open("wb") as file:
                    for piece in answer.iter_bytes():
                        file.write(piece)
        except httpx.TransportError as error:
            raise UnavailableError(f"{self.url}: the download broke off: {error}") from error
        return target.stat().st_size

    def errors(self, id: str) -> list[dict[str, Any]]:
        """A job's bad rows so far, each with its file, row, id and reason."""
        text = self._ask("GET", f"{_path(id)}/errors").text
        return [json.loads(line) for line in text.split("\n") if line]

    # -- texts

    def classify(self, texts: Any, tasks: Sequence[str] | str) -> ClassifyOut:
        """Classify a few texts at once, without a job.

        Args:
            texts: at most 1,000: a string, a list, a Series, an Arrow array; None, NaN and pd.NA are no text.
            tasks: label tasks, as for ``submit``.

        Returns:
            For each text, in order, the class and the score of each task; both None where there is no text.

        Raises:
            InputError: none or too many, one that is no string, or a task that cannot be asked.
        """
        body = {
            "texts": text_strings(texts),
            "tasks": [tasks] if isinstance(tasks, str) else list(tasks),
        }
        return self._read(ClassifyOut, self._ask("POST", "/v1/classify", json=body))

    # --

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise UnavailableError(
                f"{self.url}: no answer ({error}); pingti up starts the service, PINGTI_URL names another"
            ) from error
        except UnicodeEncodeError as error:  # a file's name that is not UTF-8, a key of other letters
            raise unsendable(error) from error
        if not answer.is_success:
            raise error_of(answer)
        return answer

    def _read(self, model: type[Body], answer: httpx.Response) -> Body:
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            raise UnavailableError(
                f"{self.url}: the answer is not one of this version's: {error.error_count()} fields differ"
            ) from error


def _address(url: str) -> httpx.URL:
    """The address, which names a host to speak HTTP with; ValueError where it does not."""
    address = httpx.URL(url)
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError("needed are http:// or https:// and a host")
    if (address.port or 0) > _MOST_PORT:
        raise ValueError(f"the port {address.port} is above {_MOST_PORT}")
    return address


def _path(job: str) -> str:
    # Whatever was given stays one piece of the path.
    return f"/v1/jobs/{quote(job, safe='', errors='replace')}"

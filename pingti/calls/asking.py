"""How calls reach the service; ``pingti.Client`` does it."""

from abc import ABC, abstractmethod
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

Body = TypeVar("Body", bound=BaseModel)


class Asking(ABC):
    """Has a connection to a service."""

    @abstractmethod
    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request; what is no success is an error."""

    @abstractmethod
    def _read(self, model: type[Body], answer: httpx.Response) -> Body:
        """What an answer holds."""


def task_path(task: str) -> str:
    """The path of a task; whatever its name holds stays one piece of it."""
    return f"/v1/tasks/{quote(task, safe='', errors='replace')}"


def given(**fields: Any) -> dict[str, Any]:
    """The fields of a request that say something."""
    return {name: value for name, value in fields.items() if value is not None}

"""Write docs/definition.md and docs/settings.md from the models that read definitions and settings.

``python docs/generate.py`` (or ``make docs-reference``) writes both; a test compares them with what it makes.
"""

import ast
import datetime
import inspect
import itertools
import json
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from api.sagemaker.settings import EndpointSettings
from pingti.workspace.definition import Definition
from queue_worker.settings import Settings

FOLDER = Path(__file__).parent

_DEFINITION_HEAD = """\
# The definition of a label task

<!-- Written by docs/generate.py from pingti/workspace/definition.py; do not edit by hand. -->

One TOML file for each task, `tasks/<name>.toml` in the workspace. `pingti task add FILE.toml` checks and adds
it; an unknown key is refused, and the error names the keys that are allowed. A relative path counts from the
workspace's folder `tasks`. Names are made of `a-z`, `0-9` and `_`, a letter first.

A small example is in the [README](../README.md#your-own-task), more of what keys are good for in
[tasks.md](tasks.md). Some keys have an older word than the rest of these pages: the
[glossary](architecture.md#glossary) explains them.
"""

_SETTINGS_HEAD = """\
# Settings of the service

<!-- Written by docs/generate.py from queue_worker/settings.py and api/sagemaker/settings.py; do not
edit by hand. -->

Environment variables, the same for every process of a service: `pingti up` hands its own to all the parts
that it starts. A wrong value ends the process with exit code 2 and one sentence that names the variable.

| variable | type | default | meaning |
|---|---|---|---|
"""

_ENDPOINT_HEAD = """\

## Settings of an endpoint

Of `python -P -m api.sagemaker` alone, which needs none of those above (see
[serverless.md](serverless.md#sagemaker)):

| variable | type | default | meaning |
|---|---|---|---|
"""

_SETTINGS_TAIL = """\

Beside these:

| variable | read by | meaning |
|---|---|---|
| `PINGTI_URL` | clients | Address of the service; `http://127.0.0.1:8080` where absent. |
| `PINGTI_API_KEY` | clients, too | The key that a client sends. |
| `PINGTI_DEMO_HOME` | `pingti demo` | The demo's own workspace; `demo-workspace` where absent. |
| `FORWARDED_ALLOW_IPS` | the API | Addresses of proxies whose `X-Forwarded-For` is believed. |
| `NUMBA_CACHE_DIR` | all | Where compiled kernels are kept. |
| `TZ` | the scheduler | Time zone of a task's `retrain.at`. |
| `PINGTI_PUBLISH` | `docker-compose.yml` | Address and port of the API outside the container. |
"""

_MADE_AT_START = {"concurrency": "the machine's cores"}
"""Defaults that are no constant."""


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string literals under a class's fields, by field.

    Args:
        model: a class whose source can be read; inherited fields are not looked at.
    """
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(inspect.getmodule(model) or model)).body
        if isinstance(node, ast.ClassDef) and node.name == model.__name__
    )
    texts: dict[str, str] = {}
    for field, below in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            texts[field.target.id] = _one_line(below.value.value)
    return texts


def definition_page() -> str:
    """The text of docs/definition.md."""
    parts = [_DEFINITION_HEAD, "\n## At the top of the file\n\n", _summary(Definition) + "\n"]
    sections: list[str] = []
    plain: list[tuple[str, FieldInfo]] = []
    for name, field in Definition.model_fields.items():
        section, named = _section(field.annotation)
        if section is None:
            plain.append((name, field))
            continue
        key = field.alias or name
        title = f"[{key}.NAME]" if named else f"[{key}]"
        needed = field.is_required()
        absent = "" if needed else _absent(field, named=named)
        says = _summary(section)
        sections.append(f"\n## `{title}`\n\n{says}{absent}\n\n{_table(section)}")
        for inside, field in section.model_fields.items():
            nested = _section(field.annotation)[0]
            if nested is not None:
                title = f"[{key}.{inside}]"
                sections.append(f"\n### `{title}`\n\n{_summary(nested)} Optional.\n\n{_table(nested)}")
    parts += ["\n" + _table(Definition, plain), *sections]
    return "".join(parts)


def _absent(field: FieldInfo, *, named: bool) -> str:
    if named:
        return " Any number of them; a `default` with no condition is always there."
    return " Optional." if field.default is None else ""


def settings_page() -> str:
    """The text of docs/settings.md."""
    service, endpoint = _variables(Settings), _variables(EndpointSettings)
    return _SETTINGS_HEAD + service + _SETTINGS_TAIL + _ENDPOINT_HEAD + endpoint


def _variables(settings: type[BaseSettings]) -> str:
    """A row for each variable of a class of settings."""
    texts = field_docstrings(settings)
    prefix = settings.model_config["env_prefix"]
    rows = []
    for name, field in settings.model_fields.items():
        meaning = field.description or texts.get(name, "")
        kind = _type(field.annotation, field.metadata)
        if kind.startswith("list of"):
            kind += ", separated as in `PATH`" if name == "input_roots" else ", comma-separated"
        default = _MADE_AT_START.get(name) or _default(field, _variable)
        rows.append(f"| `{prefix}{name.upper()}` | {kind} | {_code(default)} | {_cell(meaning)} |\n")
    return "".join(rows)


def _table(model: type[BaseModel], fields: list[tuple[str, FieldInfo]] | None = None) -> str:
    texts = field_docstrings(model)
    rows = ["| key | type | default | meaning |\n|---|---|---|---|\n"]
    for name, field in fields if fields is not None else model.model_fields.items():
        if fields is None and _section(field.annotation)[0] is not None:
            continue  # a table of its own
        kind, default = _type(field.annotation, field.metadata), _default(field, _toml)
        meaning = texts.get(name) or field.description or ""
        rows.append(f"| `{field.alias or name}` | {kind} | {_code(default)} | {_cell(meaning)} |\n")
    return "".join(rows)


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model behind a field that is a section, and whether there are several of it, each with a name."""
    for candidate in _alternatives(annotation):
        if typing.get_origin(candidate) is dict:
            inside = _section(typing.get_args(candidate)[1])[0]
            return inside, inside is not None
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate, False
    return None, False


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union but None; of anything else it alone."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return [each for each in typing.get_args(annotation) if each is not type(None)]
    return [annotation]


def _type(annotation: Any, constraints: list[Any]) -> str:
    """An annotation in the words of TOML, with its bounds."""
    (kind,) = _alternatives(annotation)
    if typing.get_origin(kind) is typing.Annotated:
        kind, *inner = typing.get_args(kind)
        constraints = [*inner, *constraints]
        (kind,) = _alternatives(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return ", ".join(_code(_toml(value)) for value in arguments)
    if origin is tuple:
        element = _type(arguments[0], [])
        least = f", at least {_bound(constraints, 'min_length')}" if _bound(constraints, "min_length") else ""
        return f"list of {f'({element})' if ',' in element else element}{least}"
    if origin is dict:
        return f"table of {_type(arguments[0], [])} to {_type(arguments[1], [])}"
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return "path"
    return _WORDS.get(kind, "text") + _range(constraints)


_WORDS = {
    bool: "`true` or `false`",
    int: "integer",
    float: "number",
    datetime.time: 'time as `"02:00"`',
    SecretStr: "text, secret",
}


def _range(constraints: list[Any]) -> str:
    """The bounds of a number in words; nothing where it has none."""
    least, most = _bound(constraints, "ge"), _bound(constraints, "le")
    if least is not None and most is not None:
        return f", {least} to {most}"
    words = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
    bounds = [(words, _bound(constraints, name)) for name, words in words]
    return "".join(f", {words} {value:g}" for words, value in bounds if value is not None)


def _bound(constraints: list[Any], name: str) -> Any:
    """A bound's value, in an object of annotated-types or in a FieldInfo that holds some; None: no bound."""
    for constraint in constraints:
        inside = constraint.metadata if isinstance(constraint, FieldInfo) else ()
        value = _bound(inside, name) if inside else getattr(constraint, name, None)
        if value is not None:
            return value
    return None


def _default(field: FieldInfo, write: Callable[[Any], str]) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=False)
    return "" if value is None else write(value)


def _toml(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, int | float):
        return _number(value)
    return json.dumps(str(value))


def _variable(value: Any) -> str:
    """A default as an environment variable has it."""
    if isinstance(value, tuple):
        return ",".join(map(_variable, value))
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float) -> str:
    return str(value).lower().removesuffix(".0")


def _code(text: str) -> str:
    return text if text in ("", "needed", *_MADE_AT_START.values()) else f"`{text}`"


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _summary(model: type[BaseModel]) -> str:
    """The first paragraph of a class's docstring."""
    return _one_line((inspect.getdoc(model) or "").partition("\n\n")[0])


def _one_line(text: str) -> str:
    return " ".join(text.split())


PAGES = {"definition.md": definition_page, "settings.md": settings_page}
"""Each generated file, and what makes its text."""


def main() -> int:
    """Write the pages."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

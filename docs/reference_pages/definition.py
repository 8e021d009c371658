"""The keys of a definition, from the models that read it."""

import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pingti.workspace.definition import Definition
from reference_pages.fields import (
    alternatives,
    cell,
    code,
    default_of,
    field_docstrings,
    summary,
    toml,
    type_words,
)

_HEAD = """\
# The definition of a label task

<!-- Written by docs/generate.py from pingti/workspace/definition.py; do not edit by hand. -->

One TOML file for each task, `tasks/<name>.toml` in the workspace. `pingti task add FILE.toml` checks and adds
it; an unknown key is refused, and the error names the keys that are allowed. A relative path counts from the
workspace's folder `tasks`. Names are made of `a-z`, `0-9` and `_`, a letter first.

A small example, and what the keys are good for that change most, is in
[Your own task](tasks.md). Some keys have an older word than the rest of these pages: the
[glossary](glossary.md) explains them.
"""


def page() -> str:
    """The text of definition.md."""
    parts = [_HEAD, "\n## At the top of the file\n\n", summary(Definition) + "\n"]
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
        says = summary(section)
        sections.append(f"\n## `{title}`\n\n{says}{absent}\n\n{_table(section)}")
        for inside, field in section.model_fields.items():
            nested = _section(field.annotation)[0]
            if nested is not None:
                title = f"[{key}.{inside}]"
                sections.append(f"\n### `{title}`\n\n{summary(nested)} Optional.\n\n{_table(nested)}")
    parts += ["\n" + _table(Definition, plain), *sections]
    return "".join(parts)


def _absent(field: FieldInfo, *, named: bool) -> str:
    if named:
        return " Any number of them; a `default` with no condition is always there."
    return " Optional." if field.default is None else ""


def _table(model: type[BaseModel], fields: list[tuple[str, FieldInfo]] | None = None) -> str:
    texts = field_docstrings(model)
    rows = ["| key | type | default | meaning |\n|---|---|---|---|\n"]
    for name, field in fields if fields is not None else model.model_fields.items():
        if fields is None and _section(field.annotation)[0] is not None:
            continue  # a table of its own
        kind, default = type_words(field.annotation, field.metadata), default_of(field, toml)
        meaning = texts.get(name) or field.description or ""
        rows.append(f"| `{field.alias or name}` | {kind} | {code(default)} | {cell(meaning)} |\n")
    return "".join(rows)


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model behind a field that is a section, and whether there are several of it, each with a name."""
    for candidate in alternatives(annotation):
        if typing.get_origin(candidate) is dict:
            inside = _section(typing.get_args(candidate)[1])[0]
            return inside, inside is not None
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate, False
    return None, False

"""The REST interface, from the OpenAPI document that the server answers."""

from collections.abc import Iterator, Mapping
from typing import Any

from api.rest.app import create_app
from pingti.workspace.definition import Definition
from queue_worker.settings import Settings
from reference_pages.fields import NEEDED, cell, code, one_line

_HEAD = """\
# REST

<!-- Written by docs/generate.py from the OpenAPI document of api/rest/app.py; do not edit by hand. -->

A running service answers the OpenAPI document itself at `/openapi.json`, and shows it at `/docs`. Where
there are keys, a request carries one as `Authorization: Bearer KEY`; [what a role
may](../service.md#keys-and-roles). Every error is one of the [problem types](problems.md). `GET
/v1/events` streams what the dashboard shows, as server-sent events.

"""
_TITLES = {
    "jobs": "Jobs, queue and workers",
    "files": "Files",
    "classify": "A few texts at once",
    "tasks": "Tasks, versions, review and retraining",
    "health": "Health",
}
_PATH_OF_SCHEMA = "#/components/schemas/"
_METHODS_WITHOUT_A_SECTION = ("head",)
_SAYS_NOTHING = "Successful Response"


def page() -> str:
    """The text of reference/rest.md."""
    document = create_app(Settings()).openapi()
    return _HEAD + _contents(document) + "".join(_sections(document)) + "".join(_schemas(document))


def _operations(document: Mapping[str, Any], tag: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of a tag; HEAD is told with the GET of its path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"] and method not in _METHODS_WITHOUT_A_SECTION:
                yield method.upper(), path, operation


def _contents(document: Mapping[str, Any]) -> str:
    rows = [
        f"| `{method} {path}` | {cell(operation['summary'])} |\n"
        for tag in _TITLES
        for method, path, operation in _operations(document, tag)
    ]
    return "| request | |\n|---|---|\n" + "".join(rows)


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    for tag, title in _TITLES.items():
        yield f"\n## {title}\n"
        for method, path, operation in _operations(document, tag):
            also = (
                " `HEAD` is answered, too." if "head" in document["paths"][path] and method == "GET" else ""
            )
            yield f"\n### `{method} {path}`\n\n{cell(operation['summary'])}. {_prose(operation)}{also}\n"
            yield _parameters(operation.get("parameters", ()))
            yield _body(operation.get("requestBody"))
            yield _answers(operation["responses"])


def _prose(described: Mapping[str, Any]) -> str:
    return one_line(described.get("description", "")).replace("``", "`")


def _parameters(parameters: Any) -> str:
    rows = [
        f"| `{parameter['name']}` | {parameter['in']} | {_type(parameter['schema'])} "
        f"| {_default(parameter['schema'], needed=parameter['required'])} | {cell(_prose(parameter))} |\n"
        for parameter in parameters
    ]
    if not rows:
        return ""
    return "\n| parameter | in | type | default | meaning |\n|---|---|---|---|---|\n" + "".join(rows)


def _body(body: Mapping[str, Any] | None) -> str:
    if body is None:
        return ""
    kinds = " or ".join(f"{code(kind)} ({_type(entry['schema'])})" for kind, entry in body["content"].items())
    return f"\nBody: {kinds}.\n"


def _answers(responses: Mapping[str, Any]) -> str:
    """What comes back: answers with their bodies, then the problems by status and type."""
    good, problems = [], []
    for status, response in sorted(responses.items()):
        content = response.get("content", {})
        if "application/problem+json" in content:
            examples = content["application/problem+json"].get("examples", {})
            problems += [f"{status} " + " ".join(map(code, examples))]
        else:
            bodies = ", ".join(dict.fromkeys(filter(None, map(_answer_body, content.items()))))
            meaning = cell(_prose(response)).replace(_SAYS_NOTHING, "")
            good.append(f"| {status} | {meaning} | {bodies} |\n")
    listed = f"\nProblems: {', '.join(problems)}.\n" if problems else ""
    return "\n| status | answer | body |\n|--:|---|---|\n" + "".join(good) + listed


def _answer_body(entry: tuple[str, Mapping[str, Any]]) -> str:
    kind, content = entry
    schema = content.get("schema", {})
    return _type(schema) if _PATH_OF_SCHEMA in str(schema) else code(kind)


def _schemas(document: Mapping[str, Any]) -> Iterator[str]:
    """A table for each kind of body; a definition has a page of its own."""
    yield "\n## Bodies\n\nA field that is needed has to be sent, or is there in every answer.\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        if name in _of_definition():
            continue
        yield f"\n### {name}\n\n{_prose(schema)}\n"
        if "enum" in schema:
            yield f"\nOne of {', '.join(map(code, schema['enum']))}.\n"
        if "properties" in schema:
            yield "\n| field | type | default | meaning |\n|---|---|---|---|\n"
        for field, inside in schema.get("properties", {}).items():
            default = _default(inside, needed=field in schema.get("required", ()))
            yield f"| `{field}` | {_type(inside)} | {default} | {cell(_prose(inside))} |\n"


def _of_definition() -> frozenset[str]:
    return frozenset({Definition.__name__, *Definition.model_json_schema()["$defs"]})


def _default(schema: Mapping[str, Any], *, needed: bool) -> str:
    if needed:
        return NEEDED
    default = schema.get("default")
    return "" if default in (None, "", [], {}) and default is not False else code(str(default).lower())


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        return _link(schema["$ref"].removeprefix(_PATH_OF_SCHEMA))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" + _bounds(schema, "minItems", "maxItems")
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    words = {"date-time": "time", "date": "date"}.get(
        schema.get("format", ""), schema.get("type", "anything")
    )
    return words + _bounds(schema, "minimum", "maximum")


def _bounds(schema: Mapping[str, Any], least: str, most: str) -> str:
    words = [
        f"{word} {schema[key]:,g}" for key, word in ((least, "at least"), (most, "at most")) if key in schema
    ]
    return "".join(f", {bound}" for bound in words)


def _link(name: str) -> str:
    return "[definition](../definition.md)" if name in _of_definition() else f"[{name}](#{name.lower()})"

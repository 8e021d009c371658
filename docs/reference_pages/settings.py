"""The settings of the service, from the class that reads them."""

from pydantic_settings import BaseSettings

from api.sagemaker.settings import EndpointSettings
from queue_worker.settings import Settings
from reference_pages.fields import cell, code, default_of, field_docstrings, type_words, variable

_HEAD = """\
# Settings of the service

<!-- Written by docs/generate.py from queue_worker/settings.py, api/sagemaker/settings.py; \
do not edit by hand. -->

Environment variables, the same for every process of a service: `pingti up` hands its own to all the parts
that it starts. A wrong value ends the process with exit code 2 and one sentence that names the variable.

| variable | type | default | meaning |
|---|---|---|---|
"""

_TAIL = """\

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

_ENDPOINT_HEAD = """\

## Settings of an endpoint

Of `python -P -m api.sagemaker` alone, which needs none of those above (see
[serverless.md](serverless.md#sagemaker)):

| variable | type | default | meaning |
|---|---|---|---|
"""

_MADE_AT_START = {"concurrency": "the machine's cores"}
"""Defaults that are no constant."""


def page() -> str:
    """The text of settings.md."""
    return _HEAD + _variables(Settings) + _TAIL + _ENDPOINT_HEAD + _variables(EndpointSettings)


def _variables(settings: type[BaseSettings]) -> str:
    """A row for each variable of a class of settings."""
    texts = field_docstrings(settings)
    prefix = settings.model_config["env_prefix"]
    rows = []
    for name, field in settings.model_fields.items():
        meaning = field.description or texts.get(name, "")
        kind = type_words(field.annotation, field.metadata)
        if kind.startswith("list of"):
            kind += ", separated as in `PATH`" if name == "input_roots" else ", comma-separated"
        default = _MADE_AT_START.get(name) or code(default_of(field, variable))
        rows.append(f"| `{prefix}{name.upper()}` | {kind} | {default} | {cell(meaning)} |\n")
    return "".join(rows)

"""Traces where OpenTelemetry's SDK is installed (extra ``otel``) and told where to send them; else nothing.

A job keeps the trace that it was submitted in, and each of its units is a span of that trace: also one that
the reaper published again, whose message comes from elsewhere. The instrumentations of FastAPI and Celery,
where they are installed, add spans of requests and of Celery's tasks, and hand the context on in messages'
headers.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

_ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NOT_TRACED = "healthz,readyz,metrics,static,v1/events"  # asked for every few seconds, or without an end
_TRACER = "pingti"


def start(service: str) -> bool:
    """Have this process send its spans, if OpenTelemetry's variables say where to.

    Args:
        service: ``service.name``, where OTEL_SERVICE_NAME does not tell another.

    Returns:
        Whether there are traces now.
    """
    if not _installed("opentelemetry.sdk") or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    from opentelemetry import trace

    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # else opentelemetry-instrument's
        if not any(os.environ.get(name) for name in _ADDRESSES):
            return False
        _provide(service)
    if _installed("opentelemetry.instrumentation.celery"):
        from opentelemetry.instrumentation.celery import CeleryInstrumentor

        CeleryInstrumentor().instrument()
    return True


def _provide(service: str) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def trace_requests(app: "FastAPI") -> None:
    """Make a span of each request of an application, where the instrumentation of FastAPI is installed."""
    if _installed("opentelemetry.instrumentation.fastapi"):
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app, excluded_urls=_NOT_TRACED)


def current() -> str | None:
    """The trace that this code runs in, as W3C's ``traceparent``; None where it runs in none."""
    context = _span_context()
    if context is None:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current_ids() -> dict[str, str]:
    """The same as fields of a log's line."""
    context = _span_context()
    if context is None:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


@contextmanager
def span(name: str, parent: str | None, **attributes: str | int) -> Iterator[None]:
    """A span around the block; nothing where there are no traces.

    Args:
        name: of the span.
        parent: of ``current``, where the work was asked for; the span of the task that does it is linked.
        **attributes: ids and numbers.
    """
    if not _traced():
        yield
        return
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    here = trace.get_current_span().get_span_context()
    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    links = [trace.Link(here)] if parent and here.is_valid else []
    named = {f"pingti.{key}": value for key, value in attributes.items()}
    # An error's message may quote a text: the span has its class alone.
    with trace.get_tracer(_TRACER).start_as_current_span(
        name, context, links=links, attributes=named, record_exception=False, set_status_on_exception=False
    ):
        yield


def fail(error: BaseException | str) -> None:
    """Mark the current span as failed, by the error's class."""
    if _traced():
        from opentelemetry import trace

        kind = error if isinstance(error, str) else type(error).__name__
        trace.get_current_span().set_status(trace.StatusCode.ERROR, kind)


def _span_context() -> Any:
    if not _traced():
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return context if context.is_valid else None


_known: dict[str, bool] = {}


def _installed(module: str) -> bool:
    if module not in _known:
        try:
            _known[module] = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # nor what it is in
            _known[module] = False
    return _known[module]


def _traced() -> bool:
    """Whether a span could be more than nothing. The API alone, which redis brings along, does nothing."""
    return _installed("opentelemetry.sdk")

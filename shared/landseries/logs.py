"""Logs: one JSON object per line on stderr, or coloured lines where a person watches; never a secret among them.

What libraries say through `logging` and `warnings` comes out in the same form. The fields are `time` (UTC), `level`,
`event`, `service` and `pid`; while a unit is done also `run`, `stage`, `unit` and `trace_id`; of an exception also
`error` and `traceback`.
"""

from __future__ import annotations

import json as json_module
import logging
import math
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor

from landseries.pipeline import Unit

MASK: Final = "***"
_LONGEST_TEXT: Final = 8192
_DEEPEST: Final = 6
_FIRST: Final = ("time", "level", "event")
#: Libraries that tell of every request or frame at INFO.
_TALKATIVE: Final = ("urllib3", "botocore", "boto3", "s3transfer", "rasterio", "numba", "matplotlib")

_SECRET_KEY: Final = re.compile(
    r"pass(word|wd|phrase)|secret|token|authorization|credential|cookie|signature|(access|private|api)_?key$", re.I
)
# Everything between `://` and the last `@` before the path: a password may hold an `@` itself.
_USERINFO: Final = re.compile(r"://[^\s/]*@")
_SPOKEN: Final = re.compile(
    r"((?:password|passwd|secret(?:[_-]?key)?|token|authorization|x-amz-signature|x-amz-credential)[\"']?\s?[=:]\s?[\"']?)"
    r"(?:(?:bearer|basic|AWS4-HMAC-SHA256)\s)?[^\s\"'&,;]+",
    re.I,
)
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def configure(json: bool | None = None, *, service: str = "", level: int = logging.INFO) -> None:
    """Send all logs of this process to stderr; calling it again replaces the earlier choice.

    Exceptions that end a thread or the process are logged too, so that every line of stderr has the same form.

    Args:
        json: one JSON object per line, or coloured lines for people; None for the latter where stderr is a terminal.
        service: name that every line carries.
        level: the least level that is logged; libraries that speak of every request begin at WARNING.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    structlog.configure(
        processors=_gathering(),
        wrapper_class=BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    rendering: list[Processor] = [ProcessorFormatter.remove_processors_meta, _Signed(service), _explain_error, mask]
    if as_json:
        rendering += [_in_order, structlog.processors.JSONRenderer(serializer=_dumps)]
    else:
        rendering += [_printable, structlog.dev.ConsoleRenderer(timestamp_key="time", colors=sys.stderr.isatty())]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=_shared(), processors=rendering))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # It logs each error that it also raises, with tracebacks; what it means is said by who called it.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def logger(name: str) -> BoundLogger:
    """A logger with fields: `logger(__name__).info("what happened", key=value)`."""
    wrapped = structlog.wrap_logger(logging.getLogger(name), processors=_gathering(), wrapper_class=BoundLogger)
    return cast(BoundLogger, wrapped)


@contextmanager
def bind_unit(run_id: str, unit: Unit, traceparent: str) -> Iterator[None]:
    """While the context is open, every line of this thread names the run, the unit and the trace.

    Args:
        run_id: the run.
        unit: the unit.
        traceparent: W3C Trace Context as the message carries it; the trace is left out where it is malformed.
    """
    fields = {"run": run_id, "stage": unit.stage, "unit": unit.name}
    if found := _TRACEPARENT.fullmatch(traceparent):
        fields["trace_id"] = found.group(1)
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def mask(_: Any, __: str, event: MutableMapping[str, Any]) -> EventDict:
    """A processor that hides secrets: values under telling keys, userinfo of URLs, `password=...` inside texts."""
    return {key: MASK if _SECRET_KEY.search(key) else _masked(value, _DEEPEST) for key, value in event.items()}


def _masked(value: Any, depth: int) -> Any:
    """The value in a form that JSON knows, without secrets; long texts are cut."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth > 0 and isinstance(value, Mapping):
        return {
            str(key): MASK if _SECRET_KEY.search(str(key)) else _masked(entry, depth - 1)
            for key, entry in value.items()
        }
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [_masked(entry, depth - 1) for entry in value]
    return mask_text(value if isinstance(value, str) else str(value))


def mask_text(text: str) -> str:
    """A text without userinfo in URLs and without what follows `password=` and the like; cut where it is very long."""
    if len(text) > _LONGEST_TEXT:
        text = f"{text[:_LONGEST_TEXT]}... ({len(text)} characters)"
    return _SPOKEN.sub(rf"\1{MASK}", _USERINFO.sub(f"://{MASK}@", text))


def _shared() -> list[Processor]:
    """What is added where a line is said, whoever says it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def _gathering() -> list[Processor]:
    return [
        structlog.stdlib.filter_by_level,
        *_shared(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        ProcessorFormatter.wrap_for_formatter,
    ]


class _Signed:
    """Adds who speaks."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _: Any, __: str, event: EventDict) -> EventDict:
        if self._service:
            event["service"] = self._service
        event["pid"] = os.getpid()
        return event


def _explain_error(_: Any, __: str, event: EventDict) -> EventDict:
    """An exception as one line in `error` and the way to it in `traceback`."""
    given = event.pop("exc_info", None)
    if isinstance(given, BaseException):
        given = (type(given), given, given.__traceback__)
    elif given is True:
        given = sys.exc_info()
    if isinstance(given, tuple) and given[1] is not None:
        event["error"] = f"{type(given[1]).__name__}: {given[1]}"
        event["traceback"] = "".join(traceback.format_exception(*given))
    return event


def _in_order(_: Any, __: str, event: EventDict) -> EventDict:
    first = {key: event[key] for key in _FIRST if key in event}
    return first | {key: event[key] for key in sorted(event.keys() - first.keys())}


def _printable(_: Any, __: str, event: EventDict) -> EventDict:
    """Texts that cannot steer the terminal; only a traceback keeps its lines."""
    cleaned: EventDict = {}
    for key, value in event.items():
        spared = "\n" if key == "traceback" else ""
        if isinstance(value, str):
            value = "".join(c if c.isprintable() or c in spared else repr(c)[1:-1] for c in value)
        cleaned[key] = value
    return cleaned


def _dumps(event: Any, **_: Any) -> str:
    # ASCII alone: stderr may have any encoding, and a hostile text may hold half a surrogate pair.
    return json_module.dumps(event, ensure_ascii=True, allow_nan=False, default=str)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:  # pragma: no cover - runs while the interpreter ends
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)
        return
    logging.getLogger("landseries").critical("the process ends", exc_info=(kind, error, where))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return
    name = args.thread.name if args.thread is not None else "?"
    logging.getLogger("landseries").critical(
        f"thread {name} ends", exc_info=(args.exc_type, args.exc_value, args.exc_traceback)
    )

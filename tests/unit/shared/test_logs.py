"""Logs: one JSON object per line whoever speaks, the unit in every line, and never a secret."""

import json
import logging
import math
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landseries import logs
from landseries.pipeline import Unit

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_says_when_where_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=True, service="indexer")
    with logs.bind_unit("demo", Unit("index", ("t1", "2018")), f"00-{TRACE}-b7ad6b7169203331-01"):
        logs.logger("landseries.test").info("unit done", seconds=1.5)
        logging.getLogger("some.library").warning("said %s", "so")
    logs.logger("landseries.test").info("idle")
    first, second, third = lines(capsys)
    assert list(first)[:3] == ["time", "level", "event"]
    assert first["time"].endswith("Z")
    assert (first["level"], first["event"], first["seconds"], first["service"]) == ("info", "unit done", 1.5, "indexer")
    assert isinstance(first["pid"], int)
    for line in (first, second):
        assert (line["run"], line["stage"], line["unit"]) == ("demo", "index", "index t1 2018")
        assert line["trace_id"] == TRACE
    assert (second["level"], second["event"]) == ("warning", "said so")
    assert "run" not in third
    assert "trace_id" not in third


@pytest.mark.parametrize("trace", ["", "x" * 5000, f"00-{TRACE}", f"00-{TRACE.upper()}-b7ad6b7169203331-01", "\n{"])
def test_a_malformed_trace_is_left_out(capsys: pytest.CaptureFixture[str], trace: str) -> None:
    logs.configure(json=True)
    with logs.bind_unit("demo", Unit("report", ()), trace):
        logs.logger("x").info("hello")
    (line,) = lines(capsys)
    assert "trace_id" not in line
    assert line["unit"] == "report"


def test_exceptions_warnings_and_dying_threads_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=True)
    try:
        raise ValueError("no such band")
    except ValueError:
        logs.logger("x").exception("failed")
        logging.getLogger("y").exception("failed too")
    warnings.warn("old", UserWarning, stacklevel=1)
    thread = threading.Thread(target=lambda: 1 / 0, name="t1")
    thread.start()
    thread.join()
    first, second, third, fourth = lines(capsys)
    for line in (first, second):
        assert line["error"] == "ValueError: no such band"
        assert "Traceback" in line["traceback"]
        assert "exc_info" not in line
    assert "old" in third["event"]
    assert (fourth["level"], fourth["event"]) == ("critical", "thread t1 ends")
    assert fourth["error"].startswith("ZeroDivisionError")


def test_calling_again_replaces_and_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=True)
    logs.configure(json=True, level=logging.WARNING)
    logs.logger("x").info("not said")
    logging.getLogger("x").info("not said")
    logs.logger("x").warning("once")
    assert [line["event"] for line in lines(capsys)] == ["once"]
    logs.configure(json=True)
    logging.getLogger("pika.adapters").info("frame")
    assert lines(capsys) == []


def test_people_get_lines_that_cannot_steer_their_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=False)
    logs.logger("x").info("bad \x1b[2J message\r", reason="two\nlines", password="hunter2")
    said = capsys.readouterr().err
    assert "\x1b[2J" not in said
    assert "\r" not in said
    assert said.count("\n") == 1
    assert "hunter2" not in said


SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "fields",
    [
        {"password": SECRET},
        {"LANDSERIES_STORE_SECRET_KEY": SECRET},
        {"access_key": SECRET},
        {"headers": {"Authorization": f"Bearer {SECRET}", "host": "x"}},
        {"nested": [{"deep": ({"api_token": SECRET},)}]},
        {"url": f"amqp://user:{SECRET}@host:5672/vhost"},
        {"url": f"https://user:a@{SECRET}@host/"},
        {"error": f"cannot open https://{SECRET}@host/path: refused"},
        {"said": f"Authorization: Bearer {SECRET}"},
        {"said": f"password={SECRET}&x=1"},
        {"said": f"https://host/x?X-Amz-Signature={SECRET}"},
        {"said": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"password": SECRET}}}}}}}}},
    ],
)
def test_no_secret_is_logged(capsys: pytest.CaptureFixture[str], fields: dict[str, Any]) -> None:
    logs.configure(json=True)
    logs.logger("x").info("hello", **fields)
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "***" in said


def test_what_is_no_secret_stays(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=True)
    logs.logger("x").info("hello", url="https://host:9000/bucket/a@b", key="artifacts/x", count=3, at=None, ok=True)
    (line,) = lines(capsys)
    assert line["url"] == "https://host:9000/bucket/a@b"
    assert (line["key"], line["count"], line["at"], line["ok"]) == ("artifacts/x", 3, None, True)


def test_masking_a_long_hostile_text_is_quick() -> None:
    started = time.perf_counter()
    for text in ("://" * 100_000, "://a@" * 50_000, "password=" * 50_000, "a" * 1_000_000, "token " * 100_000):
        assert len(logs.mask_text(text)) < 30_000
    assert time.perf_counter() - started < 1


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(value=_VALUES, event=st.text(st.characters(), max_size=30))
def test_whatever_is_logged_is_one_line_of_json(capsys: pytest.CaptureFixture[str], value: Any, event: str) -> None:
    logs.configure(json=True)
    logs.logger("x").info(event, value=value, odd=math.nan)
    captured = capsys.readouterr().err
    assert captured.isascii()
    assert captured.count("\n") == 1
    line = json.loads(captured, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert line["odd"] == "nan"

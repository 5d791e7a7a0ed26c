"""A worker process of the embedded run: messages come as JSON lines on standard input, answers go to standard output.

JSON on pipes, so that nothing that could run code travels between processes. A closed input ends the process even in
the middle of a unit: when the run is killed, its workers go with it.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from landseries.errors import LandseriesError, StoreFull
from landseries.messages import BadMessage, Message
from landseries.service import load_service
from landseries.stores.local import LocalStore
from landseries.worker import StageVersionMismatch, Worker


def serve(services: Iterable[str], workdir: Path) -> None:
    """Answer messages until the input ends.

    Each input line is `{"message": {...}, "threads": n}`; the answers are `{"note": text}` any number of times, and
    then one of `{"due": [messages]}`, `{"retry": reason}`, `{"dead": reason}` or `{"full": reason}`.

    Raises:
        ConfigError: a service is not installed.
    """
    for name in services:
        load_service(name)
    answers = _private_stdout()
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    store = LocalStore(workdir / "store")
    worker = Worker(store, workdir / "scratch", notify=lambda text: answer({"note": text}))
    while True:
        answer(_answer(worker, requests.get()))


def _answer(worker: Worker, line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
        message, threads = Message.model_validate(request["message"]), int(request["threads"])
    except (ValueError, KeyError, TypeError) as error:
        return {"dead": f"a line that holds no message: {error}"}
    return _do(worker, message, threads)


def _do(worker: Worker, message: Message, threads: int) -> dict[str, Any]:
    try:
        due = worker.process(message, threads).due
    except BadMessage as error:
        return {"dead": str(error)}
    except StageVersionMismatch as error:
        return {"dead": str(error)}
    except StoreFull as error:
        return {"full": str(error)}
    except LandseriesError as error:
        return {"retry": str(error)}
    except MemoryError:
        return {"retry": "out of memory; use fewer --jobs or a smaller grid.tile_size_px"}
    except Exception as error:
        # Whatever a handler or a library under it raises must not take the run down: the unit is tried again and then
        # put aside with its reason, and the rest goes on.
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return {"full": f"{worker.scratch}: the disk is full; free some space and start the run again"}
        where = _innermost(error)
        return {"retry": f"{type(error).__name__}: {error} ({where})"}
    return {"due": [entry.model_dump(mode="json") for entry in due]}


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "no traceback"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _read_requests(requests: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _private_stdout() -> TextIO:
    """Standard output for answers alone; what libraries print goes to standard error."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")

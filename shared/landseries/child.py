"""A worker process of the embedded run: messages come as JSON lines on standard input, answers go to standard output.

JSON on pipes, so that nothing that could run code travels between processes. A closed input ends the process even in
the middle of a unit: when the run is killed, its workers go with it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from landseries.failures import sort_failure
from landseries.gates import SourceAway
from landseries.messages import Message
from landseries.service import load_service
from landseries.stores.local import LocalStore
from landseries.worker import StageVersionMismatch, Worker


def serve(services: Iterable[str], workdir: Path) -> None:
    """Answer messages until the input ends.

    Each input line is `{"message": {...}, "threads": n}`; the answers are `{"note": text}` any number of times, and
    then one of `{"due": [messages]}`, `{"retry": reason}`, `{"later": reason}` (with `"source_away": true`
    where it is the source that has to be waited for), `{"dead": reason}`, `{"full": reason}`.

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
    except Exception as error:
        failure = sort_failure(error)
        # Versions do not change while this run lasts.
        kind = "dead" if isinstance(error, StageVersionMismatch) else failure.kind
        if isinstance(error, SourceAway):
            return {"later": failure.reason, "source_away": True}
        return {kind if kind in ("dead", "full", "later") else "retry": failure.reason}
    return {"due": [entry.model_dump(mode="json") for entry in due]}


def _read_requests(requests: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _private_stdout() -> TextIO:
    """Standard output for answers alone; what libraries print goes to standard error."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")

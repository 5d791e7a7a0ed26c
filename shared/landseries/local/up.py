"""`landseries up` and `landseries down`: RabbitMQ, MinIO and workers on this machine, without a container engine."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from landseries.local.places import Places, WorkerPlace
from landseries.local.processes import Process, ServerError, tail, wait_until
from landseries.local.programs import find_minio, find_rabbitmq
from landseries.pipeline import SERVICES

_UP_S: Final = 180.0
_WORKERS_S: Final = 120.0
_DOWN_S: Final = 120.0
_POLL_S: Final = 0.2


def up(
    folder: Path,
    workers_per_service: int = 1,
    say: Callable[[str], None] = print,
    services: Sequence[str] = SERVICES,
) -> None:
    """Start broker, store and workers in the background; where they run already, only say where.

    Args:
        folder: where all data, logs and secrets go; what is there from an earlier time is used again.
        workers_per_service: worker processes of each service.
        say: takes lines about what is done, and how to use it.
        services: whose workers to start.

    Raises:
        ServerError: something does not start, or is not installed.
    """
    places = Places(folder)
    known = places.running()
    if known is not None:
        say(f"It is up already, with {known.get('per_service')} worker(s) per service.")
        _describe(places, say)
        return
    _refuse_foreign(places)
    find_rabbitmq()
    find_minio()
    say("Starting RabbitMQ, MinIO and the workers ...")
    command = [sys.executable, "-m", "landseries.local.supervisor", str(places.folder), str(workers_per_service)]
    command += services
    supervisor = Process(command, os.environ, places.supervisor_log, bound=False)
    try:
        wait_until(lambda: places.running() is not None, supervisor, "landseries' supervisor", _UP_S)
    except ServerError:
        supervisor.stop(_DOWN_S)
        raise
    for worker in _await(places.workers(services, workers_per_service)):
        say(f"warning: {worker.name} is not ready; the end of {worker.log}:\n{tail(worker.log)}")
    _describe(places, say)


def down(folder: Path, *, purge: bool = False, say: Callable[[str], None] = print) -> None:
    """End broker, store and workers; units in work are finished or handed back.

    Args:
        folder: that of `up`.
        purge: whether to remove the folder with all data.
        say: takes lines about what is done.

    Raises:
        ServerError: the folder is none of `up`, or something could not be ended.
    """
    places = Places(folder)
    _refuse_foreign(places)
    if places.is_held():
        say("Stopping the workers, RabbitMQ and MinIO ...")
        _end(places)
    else:
        say(f"Nothing runs in {places.folder}.")
    if purge:
        shutil.rmtree(places.folder, ignore_errors=True)
        say(f"Removed {places.folder}.")
    elif places.folder.exists():
        say(f"The data stay in {places.folder}; `landseries up` uses them again.")


def environment(folder: Path) -> dict[str, str]:
    """The variables that lead commands to the broker and the store of a folder.

    Raises:
        ServerError: `up` was never run there.
    """
    places = Places(folder)
    if not places.is_one:
        raise ServerError(f"{places.folder}: holds no local set-up; `landseries up --folder {folder}` makes one")
    return places.environment()


def _refuse_foreign(places: Places) -> None:
    if places.folder.is_dir() and any(places.folder.iterdir()) and not places.is_one and not places.is_held():
        if {entry.name for entry in places.folder.iterdir()} <= {"lock", "logs"}:
            return  # a start that failed early
        raise ServerError(f"{places.folder}: holds other files; name an empty or a new folder")


def _end(places: Places) -> None:
    deadline = time.monotonic() + _DOWN_S
    asked: int | None = None
    while places.is_held():
        state = places.running()  # none yet where `up` is just starting it
        if state is not None and state["pid"] != asked:
            asked = int(state["pid"])
            _send(asked, signal.SIGTERM)
        if time.monotonic() > deadline:
            if asked is None:
                raise ServerError(f"{places.folder} is held by a process that does not say who it is")
            _send(asked, signal.SIGKILL)  # all it started dies with it
            deadline += _DOWN_S
        time.sleep(_POLL_S)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _await(workers: Sequence[WorkerPlace]) -> list[WorkerPlace]:
    """Those that are not ready in time."""
    deadline = time.monotonic() + _WORKERS_S
    waiting = list(workers)
    while waiting and time.monotonic() < deadline:
        waiting = [worker for worker in waiting if not _is_ready(worker)]
        time.sleep(_POLL_S)
    return waiting


def _is_ready(worker: WorkerPlace) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.health_port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _describe(places: Places, say: Callable[[str], None]) -> None:
    rabbit, minio = places.rabbit(), places.minio()
    shown = _shown(places.folder)
    say(f"RabbitMQ   {rabbit.connection().url}, management {rabbit.management_url} (user {rabbit.user})")
    say(f"MinIO      {minio.url}")
    say(f"Secrets    {shown}/secrets")
    say(f"Logs       tail -f {shown}/logs/*.log")
    say(f"Submit     source {shown}/env && landseries submit CONFIG && landseries status RUN --watch")
    say(f"Stop       landseries down --folder {shown}    (--purge removes the data as well)")


def _shown(folder: Path) -> str:
    """The folder as a person would write it from here."""
    try:
        return str(folder.relative_to(Path.cwd()))
    except ValueError:
        return str(folder)

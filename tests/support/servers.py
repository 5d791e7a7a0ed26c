"""One RabbitMQ and one MinIO for all tests of a session, whatever the number of processes that run them.

The first test process that needs a server starts a host process for it; the server ends when no test process uses it
any more, however they ended. Three locks of the operating system, which a dead process cannot hold, keep the order:
`door` (who starts a host), `users` (shared by all who use the server) and `host` (held while there is one). Tests that
stop a server or change its settings start one of their own.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import pytest

from landseries.filelocks import locked, try_lock
from landseries.local.processes import Process, ServerError, wait_until
from landseries.local.programs import find_minio, find_rabbitmq
from landseries.local.servers import MinioServer, RabbitServer, Server

_ServerT = TypeVar("_ServerT", bound=Server)

KINDS: Final[dict[str, type[RabbitServer] | type[MinioServer]]] = {"rabbit": RabbitServer, "minio": MinioServer}
_START_S: Final = 120.0
_END_S: Final = 20.0
_POLL_S: Final = 0.2


def need_rabbit() -> None:
    """Skip the test with the reason where there is no RabbitMQ; in CI that is a failure."""
    _need(find_rabbitmq)


def need_minio() -> None:
    """Skip the test with the reason where there is no MinIO; in CI that is a failure."""
    _need(find_minio)


def _need(find: Callable[[], Path]) -> None:
    try:
        find()
    except ServerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, and a server that tests need is missing: {error}", pytrace=False)
        pytest.skip(str(error))


@contextmanager
def shared_server(kind: type[_ServerT], folder: Path) -> Iterator[_ServerT]:
    """A server that other test processes of this session use as well.

    Args:
        kind: which one.
        folder: the same for all processes of the session, and nobody else's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "users", fcntl.LOCK_SH):  # waits where the last host is just going
        with locked(folder / "door"):
            server = kind(folder / "server")
            if _is_free(folder / "host"):
                _start_host(kind, server, folder)
        yield server
    # The last one sees to it that nothing is left running.
    deadline = time.monotonic() + _END_S
    while _is_free(folder / "users") and not _is_free(folder / "host") and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def host(kind: str, folder: Path) -> None:
    """Run a server until nobody uses it; what the host process does."""
    with locked(folder / "host"):
        server = KINDS[kind](folder / "server").start()
        try:
            while server.running and not _is_free(folder / "users"):
                time.sleep(_POLL_S)
            with locked(folder / "users"):
                server.kill()  # faster than a stop, and nobody wants the data
        finally:
            server.kill()


def _start_host(kind: type[Server], server: Server, folder: Path) -> None:
    name = next(name for name, known in KINDS.items() if known is kind)
    command = [sys.executable, str(Path(__file__).resolve()), name, str(folder)]
    process = Process(command, os.environ, folder / "host.log", bound=False)
    try:
        wait_until(server.ready, process, f"{server.name} for the tests", _START_S)
    except ServerError:
        process.kill()
        raise


def _is_free(path: Path) -> bool:
    with path.open("ab") as file:
        return try_lock(file)


if __name__ == "__main__":
    host(sys.argv[1], Path(sys.argv[2]))

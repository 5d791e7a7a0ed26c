"""Processes that never outlive who started them, and what servers of one's own need besides: ports, private files."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from landseries.errors import LandseriesError

#: Below the ports that Linux gives to outgoing connections: a server that is down for a while finds its port free.
_PORTS: Final = range(20_000, 32_000)
_POLL_S: Final = 0.05
_LOG_LINES: Final = 15


class ServerError(LandseriesError):
    """A server of one's own could not be installed, started or stopped; the text says where its log is."""


class Process:
    """A program in a process group of its own, with its output in a file, that dies with this process.

    A watching shell holds the reading end of a pipe whose writing end only this process has: whatever ends this
    process, the pipe closes and the shell kills the group. (A death signal of the kernel would not do: it comes when
    the thread that started the program ends.)

    Args:
        command: the program and its arguments.
        env: its whole environment.
        log: file to which its output is appended.
        bound: whether it dies with this process; else it lives on until someone ends it.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path, *, bound: bool = True) -> None:
        self.command = list(command)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                self.command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watcher = _watch(self._child.pid) if bound else None

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group as well."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended, as `subprocess.Popen` tells it; None while it runs."""
        return self._child.poll()

    def terminate(self) -> None:
        """Ask it to end (SIGTERM), and do not wait."""
        if self.running:
            self._child.terminate()

    def stop(self, grace_s: float = 20.0) -> None:
        """Ask it to end (SIGTERM), kill it where it does not within a time, and wait until the whole group is gone."""
        if self.running:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """End it and its group at once (SIGKILL)."""
        _signal_group(self.pid, signal.SIGKILL)
        self._child.wait()
        if self._watcher is not None:
            with contextlib.suppress(BrokenPipeError):
                self._watcher.communicate(b"\n")
            self._watcher.wait()
            self._watcher = None

    def tail(self) -> str:
        """The last lines of its output."""
        return tail(self.log)


def wait_until(ready: Callable[[], bool], process: Process, what: str, timeout_s: float) -> None:
    """Wait until a server answers.

    Raises:
        ServerError: its process ended, or it did not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if not process.running:
            raise ServerError(
                f"{what} ended (status {process.returncode}); the end of {process.log}:\n{process.tail()}"
            )
        if time.monotonic() > deadline:
            raise ServerError(
                f"{what} does not answer after {timeout_s:.0f} s; the end of {process.log}:\n{process.tail()}"
            )
        time.sleep(_POLL_S)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 on which nothing listens, and which no outgoing connection will take."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise ServerError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


def accepts(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def remembered(path: Path, new: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a private file (mode 0600) holds; where there is none yet, one with new content is written."""
    if not path.exists():
        write_private(path, json.dumps(new(), indent=1, sort_keys=True) + "\n")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ServerError(f"{path}: cannot be read ({error}); remove its folder and start again") from None
    if not isinstance(content, dict):
        raise ServerError(f"{path}: does not hold what a server remembers; remove its folder and start again")
    return content


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    temporary.replace(path)


def tail(log: Path, lines: int = _LOG_LINES) -> str:
    """The last lines of a log, or why there are none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:])


def _watch(group: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r line || kill -s KILL -- "-$0" 2>/dev/null', str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass
    except PermissionError as error:  # macOS says so of a group of which only zombies are left
        if error.errno != errno.EPERM:
            raise


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

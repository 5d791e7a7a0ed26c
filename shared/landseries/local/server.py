"""What the servers of one's own have in common: a folder that remembers ports and secrets, a process, a life."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from landseries.local.processes import Process, ServerError, accepts, wait_until

#: The file in a server's folder that keeps its ports and secrets.
MEMORY: Final = "server.json"
_START_S: Final = 90.0


class Server(ABC):
    """What the two servers have in common.

    An object whose `start` was never called stands for a server that another process runs from the same folder:
    it can say where it is, but not stop it.
    """

    name: str

    def __init__(self, folder: Path, certs: Path | None) -> None:
        self.folder = folder.resolve()
        self.certs = certs
        self.process: Process | None = None

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        """Whether this object started it and it has not ended."""
        return self.process is not None and self.process.running

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            ServerError: this object has not started it.
        """
        return self._own().pid

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and wait until it answers (see `wait_ready`).

        Raises:
            ServerError: its program is missing, or it does not come up; with the end of its log.
        """
        if self.running:
            raise ServerError(f"{self.name} in {self.folder} is running already")
        if self.process is not None:
            self.kill()  # it died by itself: what belongs to it goes as well
        for port in self.ports:
            if accepts(port):
                raise ServerError(
                    f"{self.name} in {self.folder}: something else listens on port {port} already, perhaps this "
                    f"server, started by another process; the ports are in {self.folder / MEMORY}"
                )
        self.process = self._launch()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s: float = _START_S) -> None:
        """Wait until it answers.

        Raises:
            ServerError: it ended, or does not answer in time; with the end of its log.
        """
        try:
            wait_until(self.ready, self._own(), f"{self.name} in {self.folder}", timeout_s)
        except ServerError:
            self.kill()
            raise

    @property
    @abstractmethod
    def ports(self) -> tuple[int, ...]:
        """The ports of 127.0.0.1 on which it listens."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it does its work."""

    @abstractmethod
    def _launch(self) -> Process:
        """Write its configuration and start its process."""

    def stop(self) -> None:
        """End it orderly; its data stay."""
        self._own().stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would; its data stay."""
        self._own().kill()

    def restart(self) -> None:
        """Stop it where it runs, and start it on the same ports with the same data."""
        if self.running:
            self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _own(self) -> Process:
        if self.process is None:
            raise ServerError(f"{self.name} in {self.folder} was not started here; who started it can stop it")
        return self.process

    @property
    def scheme_suffix(self) -> str:
        """What a URL's scheme ends with where the server speaks TLS."""
        return "s" if self.certs else ""

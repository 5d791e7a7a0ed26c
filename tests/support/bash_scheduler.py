"""A batch system that runs every script at once, as a process of this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Collection
from pathlib import Path

from landseries_bridge.scheduler import JobState


class BashScheduler:
    """See `landseries_bridge.scheduler.Scheduler`."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
        self._cancelled: set[str] = set()

    def submit(self, script: Path) -> str:
        """See `Scheduler.submit`."""
        text = script.read_text()
        label, log = (_option(text, name) for name in ("job-name", "output"))
        number = str(len(self._jobs) + 1)
        with Path(log).open("wb") as stream:
            process = subprocess.Popen(["bash", str(script)], stdout=stream, stderr=stream, start_new_session=True)
        self._jobs[number] = (label, process)
        return number

    def find(self, label: str) -> str | None:
        """See `Scheduler.find`."""
        return next((number for number, (name, _) in self._jobs.items() if name == label), None)

    def look(self, jobs: Collection[str]) -> dict[str, JobState]:
        """See `Scheduler.look`."""
        return {number: self._state(number) for number in jobs if number in self._jobs}

    def cancel(self, job: str) -> None:
        """See `Scheduler.cancel`."""
        self._cancelled.add(job)
        process = self._jobs[job][1]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def labels(self) -> list[str]:
        """Names of all jobs that were ever submitted."""
        return [label for label, _ in self._jobs.values()]

    def end_all(self) -> None:
        """Leave no process behind."""
        for number in self._jobs:
            self.cancel(number)

    def _state(self, number: str) -> JobState:
        status = self._jobs[number][1].poll()
        if number in self._cancelled:
            return JobState(True, "CANCELLED")
        if status is None:
            return JobState(False, "RUNNING")
        return JobState(True, "COMPLETED" if status == 0 else "FAILED")


def _option(script: str, name: str) -> str:
    found = re.search(rf"^#SBATCH --{name}=(.*)$", script, re.M)
    assert found is not None
    return found.group(1)

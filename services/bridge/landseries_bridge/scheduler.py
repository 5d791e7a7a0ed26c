"""What the bridge asks of a batch system.

Slurm on the machine itself answers in `slurm.py`. Another system (UNICORE's REST interface, another scheduler) is
another class with these four methods; nothing else in the bridge knows which one it talks to.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from landseries.errors import LandseriesError


class SchedulerError(LandseriesError):
    """The batch system refuses or does not answer; the units wait, and the same call may succeed later."""


@dataclass(frozen=True)
class JobState:
    """How a job is.

    Attributes:
        ended: whether nothing more comes of it.
        word: the batch system's own word, such as RUNNING or TIMEOUT.
        reason: why it waits or ended, where the batch system says so.
    """

    ended: bool
    word: str
    reason: str = ""


class Scheduler(Protocol):
    """A batch system, for the user that the bridge runs as. Every method may raise `SchedulerError`."""

    def submit(self, script: Path) -> str:
        """Submit a script that holds its own options; returns what the system calls the job."""

    def find(self, label: str) -> str | None:
        """The job that was submitted under a name, ended ones included; None where there is none."""

    def look(self, jobs: Collection[str]) -> dict[str, JobState]:
        """How jobs are; those that the system does not know (any more) are left out."""

    def cancel(self, job: str) -> None:
        """End a job; nothing happens where it has ended."""

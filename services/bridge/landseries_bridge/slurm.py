"""Slurm, through the commands that every user of a cluster has. No argument ever passes through a shell.

What ended is told by `squeue` for some minutes and by `sacct` for good; clusters without accounting have only the
former, and the bridge then goes by the files that a job leaves.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from landseries.errors import ConfigError
from landseries.logs import logger
from landseries_bridge.scheduler import JobState, SchedulerError

#: States of jobs of which something more may come (Slurm, squeue(1), "Job state codes").
_GOING_ON: Final = frozenset(
    (
        "PENDING",
        "CONFIGURING",
        "RUNNING",
        "SUSPENDED",
        "COMPLETING",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESIZING",
        "RESV_DEL_HOLD",
        "SIGNALING",
        "SPECIAL_EXIT",
        "STAGE_OUT",
        "STOPPED",
    )
)
#: What of the environment Slurm's commands and the job's shell get: nothing that could be a key of broker or store, and
#: nothing like SBATCH_JOB_NAME or SBATCH_ARRAY_INX, which goes before what a script says (sbatch(1), "INPUT
#: ENVIRONMENT VARIABLES") and would make another job of it, under a name by which it is not found.
_PASSED_ON: Final = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|TZ|TERM|TMPDIR|SLURM_CONF|LD_LIBRARY_PATH|MODULE\w*|LMOD_\w+|BASH_ENV|BASH_FUNC_(module|ml)(%%|\(\)))"
)
_PATIENCE_S: Final = 60.0
#: `sacct` looks no further back; no job waits and runs for longer.
_SINCE: Final = "now-90days"


class SlurmScheduler:
    """See `Scheduler`."""

    def __init__(self) -> None:
        self._accounting = True
        self._log = logger(__name__)

    def check(self) -> None:
        """See whether there is a Slurm that answers.

        Raises:
            ConfigError: its commands are missing.
            SchedulerError: it does not answer.
        """
        try:
            self._run("squeue", "--me", "--noheader", "--format=%i")
        except FileNotFoundError:
            raise ConfigError(
                "squeue is not on PATH: run the bridge where jobs are submitted, such as a login node"
            ) from None

    def submit(self, script: Path) -> str:
        """See `Scheduler.submit`."""
        answer = self._run("sbatch", "--parsable", str(script)).strip()
        found = answer.splitlines()[-1].split(";")[0] if answer else ""  # `id;cluster` on federations
        if not found.isdigit():
            raise SchedulerError(f"sbatch answered {answer[:200]!r} instead of the job's number")
        return found

    def find(self, label: str) -> str | None:
        """See `Scheduler.find`."""
        listed = self._run("squeue", "--me", "--noheader", "--states=all", f"--name={label}", "--format=%i").split()
        if not listed:
            listed = [fields[0] for fields in self._sacct(f"--name={label}")]
        return listed[0] if listed else None

    def look(self, jobs: Collection[str]) -> dict[str, JobState]:
        """See `Scheduler.look`."""
        if not jobs:
            return {}
        found: dict[str, JobState] = {}
        for line in self._run("squeue", "--me", "--noheader", "--states=all", "--format=%i|%T|%r").splitlines():
            number, word, reason = [*line.strip().split("|", 2), "", ""][:3]
            if number in jobs and word:
                found[number] = JobState(word not in _GOING_ON, word, "" if reason == "None" else reason)
        missing = sorted(set(jobs) - found.keys())
        for number, state in self._sacct(f"--jobs={','.join(missing)}") if missing else ():
            word = state.split()[0]  # "CANCELLED by 1000"
            found[number] = JobState(word not in _GOING_ON, word)
        return found

    def cancel(self, job: str) -> None:
        """See `Scheduler.cancel`."""
        self._run("scancel", "--quiet", job)

    def _sacct(self, choice: str) -> Iterator[tuple[str, str]]:
        """Number and state of jobs as accounting knows them; nothing where there is no accounting."""
        if not self._accounting:
            return
        try:
            told = self._run("sacct", "-X", "-n", "-P", f"--starttime={_SINCE}", "--format=JobID,State", choice)
        except FileNotFoundError:
            told = None
        except SchedulerError as error:
            if "disabled" not in str(error):
                raise
            told = None
        if told is None:
            self._accounting = False
            self._log.warning("this Slurm has no accounting; what became of old jobs is told by their files alone")
            return
        for line in told.splitlines():
            number, _, state = line.partition("|")
            if number.isdigit() and state.strip():
                yield number, state

    def _run(self, *command: str) -> str:
        environment = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
        try:
            ended = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SchedulerError(f"{command[0]} did not answer within {_PATIENCE_S:.0f} s") from None
        if ended.returncode != 0:
            said = " ".join(ended.stderr.split())[:500]
            raise SchedulerError(f"{command[0]} ended with status {ended.returncode}: {said or 'it said nothing'}")
        return ended.stdout

"""Worker processes of one's own, as their parent sees them: a message is handed over, an answer comes back.

The other side is `landseries.child`. A process is started when it is first needed and again after it died.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from landseries.groups import membership
from landseries.messages import Message
from landseries.numerics import NumericsProfile, process_environment


def worker_environment(profile: NumericsProfile, number: int) -> dict[str, str]:
    """The environment of a worker process under a numerics profile.

    Args:
        profile: of the run.
        number: of the process among its siblings, from 0: where there are several GPUs, they take them in turn. In a
            group that torchrun or srun started, its members have their turns already.
    """
    own = membership()
    alone = own is None or own.size == 1
    turn = {"LOCAL_RANK": str(number)} if profile.device == "cuda" and alone else {}
    return os.environ | process_environment(profile) | turn


class WorkerProcess:
    """A worker process over the store of a work folder."""

    def __init__(
        self, services: Sequence[str], workdir: Path, environment: Mapping[str, str], note: Callable[[str], None]
    ) -> None:
        """Start nothing yet.

        Args:
            services: whose units it can do.
            workdir: folder with `store/` and `scratch/`.
            environment: its whole environment.
            note: told how long units come along; called on the thread that asks.
        """
        self._command = [sys.executable, "-m", "landseries", "child", *services, "--workdir", str(workdir)]
        self._environment = dict(environment)
        self._note = note
        self._process: subprocess.Popen[str] | None = None

    def ask(self, message: Message, threads: int) -> dict[str, Any]:
        """Hand over a message and wait for the answer; a worker that dies over it asks for another try."""
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"message": message.model_dump(mode="json"), "threads": threads}) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                answer: dict[str, Any] = json.loads(line)
                if "note" not in answer:
                    return answer
                self._note(answer["note"])
        except BrokenPipeError:
            pass
        code = process.wait()
        self._process = None
        return {"retry": f"its worker died ({_explain_exit(code)})"}

    def kill(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._environment,
                # A process group of its own: Ctrl-C reaches the parent, which then ends its workers in order.
                process_group=0,
            )
        return self._process


def _explain_exit(code: int) -> str:
    if code == -9:
        return "killed, perhaps for lack of memory: use fewer of them at once"
    return f"signal {-code}" if code < 0 else f"exit status {code}"

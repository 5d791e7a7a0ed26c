"""Starting a group of training processes on this machine with torchrun, and hearing how it ended.

torchrun gives the processes a meeting point, watches them, and ends all when one fails. Nothing is tried again here:
the unit fails with the reason, and its next try goes on from the last epoch's checkpoint.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from landseries.errors import LandseriesError
from landseries.neural.weights import read_weights
from landseries_trainer.member import JOB_FILE, LIFELINE, TRAINED_FILE, WEIGHTS_FILE, failure_file
from landseries_trainer.networks import TrainedModel, TrainingJob

_MODULE: Final = "landseries_trainer.member"
_LOG_FILE: Final = "torchrun.log"
#: How long torchrun may take to end its processes.
_ENDING_S: Final = 40.0
#: In torchrun's report: the exit status of a process that failed.
_STATUS: Final = re.compile(r"rank\s*: (\d+).*?exitcode\s*: (-?\d+)", re.DOTALL)
#: In torchrun's log, where it killed those that did not end when they were told to.
_FORCED: Final = "forcefully exiting via"


def train_in_group(job: TrainingJob, processes: int, folder: Path, log: Callable[[str], None]) -> TrainedModel:
    """Train a model's networks in several processes.

    Args:
        job: what to train.
        processes: how many; no more than the job's profile says.
        folder: an empty folder of the caller's.
        log: told of every epoch.

    Raises:
        LandseriesError: a process failed, and the others have been ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOB_FILE).write_text(job.model_dump_json(), encoding="utf-8")
    with (folder / _LOG_FILE).open("wb") as errors:
        process = subprocess.Popen(
            _command(folder, processes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=_environment(),
        )
        try:
            _listen(process, log)
            status = process.wait()
        finally:
            _end(process)
    if status != 0:
        raise LandseriesError(_explain(folder, processes, status))
    told = json.loads((folder / TRAINED_FILE).read_bytes())
    networks = read_weights(folder / WEIGHTS_FILE) if told["described"] else {}
    return TrainedModel(networks, told["described"], told["left_out"])


def _command(folder: Path, processes: int) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    counts = [f"--nproc-per-node={processes}", "--max-restarts=0", "--monitor-interval=0.2"]
    return [*torchrun, *counts, "-m", _MODULE, str(folder), LIFELINE]


def _environment() -> dict[str, str]:
    """This process's environment; the group stays on this machine, so that no network has to be asked for."""
    return {"GLOO_SOCKET_IFNAME": "lo", **os.environ} if sys.platform == "linux" else dict(os.environ)


def _listen(process: subprocess.Popen[str], log: Callable[[str], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        with suppress(ValueError):  # what a library prints is no news of ours
            text = json.loads(line)
            if isinstance(text, str):
                log(text)


def _end(process: subprocess.Popen[str]) -> None:
    """End the group if it is still there: its processes go when their standard input ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    process.stdout.close()


def _explain(folder: Path, processes: int, status: int) -> str:
    """Which process failed first, and why.

    One that was ended by a signal went before those that miss it, whichever torchrun noticed first.
    """
    report = (folder / _LOG_FILE).read_text(encoding="utf-8", errors="replace")
    failures = _STATUS.findall(report[report.rfind("Failures:") :])
    if not failures:
        last = next((line for line in reversed(report.splitlines()) if line.strip()), "it said nothing")
        return f"the group of {processes} training processes ended with status {status}: {last}"
    signalled = [(rank, code) for rank, code in failures if int(code) < 0 and int(code) != -signal.SIGTERM]
    # The last one is torchrun's "Root Cause (first observed failure)".
    rank, text = signalled[-1] if signalled and _FORCED not in report else failures[-1]
    code = int(text)
    reason = f"it was ended by signal {-code}, perhaps for lack of memory" if code < 0 else f"exit status {code}"
    with suppress(OSError):
        reason = failure_file(folder, rank).read_text(encoding="utf-8")
    return f"training process {rank} of {processes} failed, and the others were ended: {reason}"

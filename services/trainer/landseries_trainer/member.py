"""One process of a group that trains together: `python -m landseries_trainer.member FOLDER`, under torchrun.

The folder holds `job.json`. Process 0 leaves `weights.safetensors` and `trained.json` there, and tells on standard
output, a JSON text a line, how far it is; a process that fails leaves the reason in `failed-<rank>.txt`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Final

from landseries.groups import membership
from landseries.neural.devices import device_of
from landseries.neural.weights import write_weights
from landseries_trainer.group import joining
from landseries_trainer.networks import TrainedModel, TrainingJob, train_networks

JOB_FILE: Final = "job.json"
WEIGHTS_FILE: Final = "weights.safetensors"
TRAINED_FILE: Final = "trained.json"
#: Argument that says that standard input stays open as long as the result is wanted.
LIFELINE: Final = "--lifeline"


def run(folder: Path) -> None:
    """Join the group that the environment names and train."""
    job = TrainingJob.model_validate_json((folder / JOB_FILE).read_bytes())
    parts = job.profile.training_processes
    with joining(membership(), device_of(job.profile.device, job.profile.precision), parts, job.silence_s) as group:
        trained = train_networks(job, group, _tell)
        if group.is_first:
            _leave(folder, trained)


def failure_file(folder: Path, rank: str) -> Path:
    """Where a process says why it failed."""
    return folder / f"failed-{rank}.txt"


def _leave(folder: Path, trained: TrainedModel) -> None:
    if trained.networks:
        write_weights(folder / WEIGHTS_FILE, trained.networks)
    told = {"described": trained.described, "left_out": trained.left_out}
    (folder / TRAINED_FILE).write_text(json.dumps(told), encoding="utf-8")


def _tell(text: str) -> None:
    print(json.dumps(text), flush=True)


def _end_with_the_input() -> None:
    """Whoever wanted the result is gone, perhaps killed: go as well, whatever this process is at."""
    while os.read(0, 1024):  # not through a buffer, which could not be closed at the end
        pass
    os._exit(1)


def main() -> int:
    """Run as a program; 0 where all went well."""
    folder = Path(sys.argv[1])
    if LIFELINE in sys.argv[2:]:
        threading.Thread(target=_end_with_the_input, daemon=True).start()
    try:
        run(folder)
    except Exception as error:
        traceback.print_exc()
        failure = failure_file(folder, os.environ.get("RANK", "0"))
        failure.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    # Without the interpreter's own end: threads of the group that are still about call back into it, and abort.
    ended_with = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended_with)

"""One process of a group that was started from outside: `python -m support.one_of_a_group FOLDER`.

Trains the unit of `training_tables` and prints where the weights are, or that another process writes them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from landseries.pipeline import WEIGHTS
from landseries.service import Assisted
from landseries_trainer.handlers import train
from support.training_tables import DATASET, TRAIN, training_bench


def main() -> None:
    """Train once, and once more: a worker that belongs to a group does unit after unit."""
    folder = Path(sys.argv[1])
    bench = training_bench(folder, f"rank-{os.environ['RANK']}", processes=2)
    for _ in range(2):
        try:
            files = bench.run(train, TRAIN, {DATASET: {"multi-year.parquet": folder / "multi-year.parquet"}})
            print(files[WEIGHTS])
        except Assisted as assisted:
            print(assisted)


if __name__ == "__main__":
    main()

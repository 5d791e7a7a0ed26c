"""How long training waits for its data, which lie on disk, and how much memory it takes for tables of any size.

pytest tests/benchmarks/test_training_input.py -s
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

#: Series of the smaller and the larger table; 24 dates of ten bands are 480 bytes a series.
SMALL, LARGE = 100_000, 1_000_000
FEATURES: Final = 10
DATES: Final = 24
#: Bytes a series that may lie in memory: its label, weight, line and place in the epoch's order, while they are made.
MOST_BYTES_PER_SERIES: Final = 64

_SCRIPT: Final = """
import json, sys
from pathlib import Path
import numpy as np
from landseries.memory import peak_rss_mib
from landseries.numerics import NumericsProfile
from landseries.settings.trainer import TrainSettings
from landseries_trainer import networks, training
from landseries_trainer.group import ALONE
folder, count = Path(sys.argv[1]), int(sys.argv[2])
shares = []
def log(text):
    shares.append(float(text.split("s, ")[-1].split("%")[0]) / 100)
job = networks.TrainingJob(
    model="multi-year", years=(2018,), features=tuple(f"f{i}" for i in range(10)), seed=1,
    settings=TrainSettings(epochs=1, batch_size=1024), profile=NumericsProfile(), table=folder,
    checkpoints=folder / "checkpoints")
networks.train_networks(job, ALONE, log)
print(json.dumps({"peak_mib": peak_rss_mib(), "waiting": max(shares)}))
"""


def _measure(folder: Path, count: int) -> dict[str, float]:
    """One epoch over a table of so many series, in a process of its own."""
    _write_table(folder, count)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _SCRIPT, str(folder), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _write_table(folder: Path, count: int) -> None:
    """A flat table as `landseries_trainer.mapped.write_flat` leaves it, of random series."""
    import numpy as np

    folder.mkdir()
    random = np.random.default_rng(0)
    with (folder / "series.int16").open("wb") as file:
        for start in range(0, count, 10_000):
            size = min(10_000, count - start)
            file.write(random.integers(0, 4000, (size, DATES, FEATURES), dtype=np.int16).tobytes())
    columns = {
        "split": (np.arange(count) % 20 == 0).astype(np.uint8),
        "year": np.full(count, 2018, np.int16),
        "class": random.integers(1, 12, count, dtype=np.uint8),
        "weight": np.ones(count, np.float32),
    }
    for name, values in columns.items():
        np.save(folder / f"{name}.npy", values)


@pytest.mark.timeout(1200)
def test_training_does_not_wait_for_data_and_its_memory_is_bounded(
    benchmark: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At most a tenth of the time goes into waiting, and ten times as many series need at most 64 bytes each more."""
    run = benchmark.pedantic  # type: ignore[attr-defined]
    small = _measure(tmp_path / "small", SMALL)
    large = run(lambda: _measure(tmp_path / "large", LARGE), rounds=1)
    with capsys.disabled():
        for count, found in ((SMALL, small), (LARGE, large)):
            print(
                f"\ntraining on {count:,} series ({count * 480 >> 20} MiB on disk): peak {found['peak_mib']:.0f} MiB, "
                f"waiting for data {found['waiting']:.1%}"
            )
    assert large["waiting"] <= 0.1
    grown = (large["peak_mib"] - small["peak_mib"]) * 2**20
    assert grown <= (LARGE - SMALL) * MOST_BYTES_PER_SERIES

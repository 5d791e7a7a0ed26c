"""Trains small networks and prints the digests of their weights, a line each: `python -m support.known_training`.

A program of its own, because a numerics profile binds only libraries that load after it was set.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
import tempfile
from pathlib import Path

from landseries.neural.weights import write_weights
from landseries.settings.trainer import TrainSettings
from landseries_trainer.augmentation import Augmentation
from landseries_trainer.forward import Precision
from landseries_trainer.samples import TrainingSet
from landseries_trainer.training import train_network
from support.phenologies import phenologies


def main() -> None:
    """Networks of one and two layers, with the default variation of the series and with noise."""
    precision: Precision = "bfloat16" if sys.argv[1] == "bfloat16" else "float32"
    sets = [
        TrainingSet(*phenologies(count, seed, dates=12, features=4, classes=4, spread=0.7))
        for count, seed in ((600, 1), (200, 2))
    ]
    for layers, augmentation in itertools.product((1, 2), (Augmentation(), Augmentation(0.3, 0.1))):
        settings = TrainSettings(hidden=16, layers=layers, epochs=4, batch_size=64, learning_rate=1e-2)
        network, _ = train_network(
            sets[0],
            sets[1],
            settings,
            features=("B03", "B04", "B08", "B11"),
            seed=3,
            precision=precision,
            augmentation=augmentation,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights"
            write_weights(path, {"all": network})
            print(hashlib.sha256(path.read_bytes()).hexdigest()[:16])


if __name__ == "__main__":
    main()

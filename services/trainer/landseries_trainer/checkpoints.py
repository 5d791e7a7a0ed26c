"""What is needed to go on with a training after an interruption, in one file written after each epoch.

A safetensors file with one JSON metadata key; never a pickle. Random numbers are drawn from (seed, epoch), so no
generator's state is stored. A checkpoint names the training it belongs to by a digest of its data and settings:
one of another training, or one that was cut short, is not an error but simply not used, since starting again gives
the same network.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from landseries_trainer.curve import EpochMetrics, TrainingCurve
from landseries_trainer.group import Group

_KEY: Final = "landseries"

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Checkpoint:
    """A training after some epochs.

    Attributes:
        training: Digest of the data and settings of the training.
        curve: The epochs so far.
        arrays: The network (`network/...`), its best weights (`best/...`) and the optimiser (`optimiser/...`).
    """

    training: str
    curve: TrainingCurve
    arrays: Arrays

    def group(self, name: str) -> dict[str, NDArray[np.float32]]:
        """The arrays of a group, by their name within it."""
        start = f"{name}/"
        return {key.removeprefix(start): array for key, array in self.arrays.items() if key.startswith(start)}


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; a reader sees the old one or the new one, nothing between."""
    text = json.dumps(
        {"training": checkpoint.training, "curve": checkpoint.curve.to_json()}, sort_keys=True, separators=(",", ":")
    )
    tensors = {name: array.copy(order="C") for name, array in sorted(checkpoint.arrays.items())}
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(save(tensors, metadata={_KEY: text}))
    os.replace(partial, path)


def read_checkpoint(path: Path, training: str, shapes: Mapping[str, tuple[int, ...]]) -> Checkpoint | None:
    """The checkpoint of a training, or None where there is none that can be used.

    Args:
        path: The file; it need not exist.
        training: Digest that the checkpoint must carry.
        shapes: Name and shape of every array that it must hold, all float32.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get(_KEY, "null"))
            if not isinstance(header, dict) or header.get("training") != training:
                return None
            names = set(file.keys())
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            if found != dict(shapes) or any(file.get_slice(name).get_dtype() != "F32" for name in names):
                return None
            arrays = {name: file.get_tensor(name) for name in sorted(names)}
        curve = TrainingCurve(
            tuple(EpochMetrics(**one) for one in header["curve"]["epochs"]), header["curve"]["ignored_validation"]
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    return Checkpoint(training, curve, arrays) if curve.epochs else None


def read_shared_checkpoint(
    path: Path, training: str, shapes: Mapping[str, tuple[int, ...]], group: Group
) -> Checkpoint | None:
    """`read_checkpoint` for processes that train together: all get the one that process 0 finds.

    The others may see another folder, or the same one a moment earlier or later.
    """
    if group.size == 1:
        return read_checkpoint(path, training, shapes)
    content = group.share(path.read_bytes() if group.is_first and path.is_file() else b"")
    with tempfile.TemporaryDirectory(prefix="landseries-") as folder:
        copy = Path(folder) / "checkpoint"
        copy.write_bytes(content)
        return read_checkpoint(copy, training, shapes)

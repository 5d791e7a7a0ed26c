"""What a GPU brings: `python -m tests.benchmarks.gpu`.

Prints the mapper's rate beside that of two cores, its share of what the device's memory or its bfloat16 arithmetic
allow (whichever binds, and which that is), and how long training waits for data. Where there is no GPU the same is
done on the processor through the same code, and the figures that need one are named as skipped.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from landseries.artifacts.rasters import write_cog
from landseries.artifacts.series import reading_series
from landseries.grid import Tile
from landseries.neural.devices import device_of
from landseries.neural.network import SeriesClassifier
from landseries.neural.normalisation import measure_normalisation
from landseries.neural.weights import NetworkSettings, TrainedNetwork
from landseries.numerics import NumericsProfile, process_environment, processor_capability
from landseries.settings.trainer import TrainSettings
from landseries_mapper.gpu import GpuNetwork, block_pixels_of
from landseries_mapper.inference import MappingNetwork, Precision, best_precision
from landseries_trainer.curve import EpochMetrics
from landseries_trainer.group import Group
from landseries_trainer.mapped import MappedSeries
from landseries_trainer.samples import TrainingSet
from landseries_trainer.training import EpochTimes, train_network
from tests.support.phenologies import phenologies
from tests.support.pixels import write_series

DATES: Final = 24
FEATURES: Final = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
CORES: Final = 2
TILE_PIXELS: Final = 512 * 512
#: Rounds, pixels of a block and series of the table where there is no GPU: enough to see that all of it works.
_ROUNDS_ON_CORES, _BLOCK_ON_CORES, _SERIES_ON_CORES = 2, 4096, 3000
_ROUNDS: Final = 5
#: Figures to reach on a GPU.
TIMES_THE_CORES: Final = 20.0
SHARE_OF_LIMIT: Final = 0.30
WAITING: Final = 0.10


@dataclass
class Figures:
    """What is printed, and which of the figures to reach were missed."""

    on_gpu: bool
    missed: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print a line at once."""
        print(text, flush=True)

    def reach(self, what: str, reached: bool) -> None:
        """Print whether a figure is reached; without a GPU it is not judged."""
        if not self.on_gpu:
            self.say(f"SKIPPED, needs a GPU: {what}")
            return
        self.say(f"{'reached' if reached else 'NOT REACHED'}: {what}")
        if not reached:
            self.missed.append(what)


@dataclass(frozen=True)
class Limits:
    """What a device can do, measured: bytes a second to and from its memory, bfloat16 operations a second."""

    bytes_per_s: float
    operations_per_s: float


def main() -> int:
    """Measure and print; 1 where a GPU misses a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=4, help="tiles of 512 x 512 pixels that are mapped at a time")
    parser.add_argument("--series", type=int, default=200_000, help="series of the training table")
    given = parser.parse_args()
    # cuBLAS is deterministic only where it was told so before it is first used.
    told = "CUBLAS_WORKSPACE_CONFIG"
    os.environ[told] = process_environment(NumericsProfile())[told]
    on_gpu = torch.cuda.is_available()
    device = device_of("cuda" if on_gpu else "cpu")
    figures = Figures(on_gpu)
    name = torch.cuda.get_device_name(device) if on_gpu else f"no GPU, the processor instead ({processor_capability()})"
    figures.say(f"device: {name}; PyTorch {torch.__version__}")
    torch.set_num_threads(CORES)
    with torch.inference_mode():
        limits = measure_limits(device)
    figures.say(
        f"limits of the device, measured: {limits.bytes_per_s / 1e9:,.1f} GB/s of memory, "
        f"{limits.operations_per_s / 1e12:,.2f} TFLOP/s in bfloat16"
    )
    mapping(figures, device, limits, given.tiles)
    with tempfile.TemporaryDirectory(prefix="landseries-gpu-") as folder:
        reading_and_writing(figures, Path(folder))
        training(figures, device, Path(folder), given.series)
    return 1 if figures.missed else 0


def measure_limits(device: torch.device) -> Limits:
    """Copy a large buffer, and multiply large matrices."""
    large = device.type == "cuda"
    buffer = torch.zeros(1 << (30 if large else 27), dtype=torch.uint8, device=device)
    target = torch.empty_like(buffer)
    side = 8192 if large else 2048
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    copied = best_of(device, lambda: target.copy_(buffer))
    multiplied = best_of(device, lambda: matrix @ matrix)
    return Limits(2 * buffer.numel() / copied, 2 * side**3 / multiplied)


def best_of(device: torch.device, run: Callable[[], object]) -> float:
    """Seconds of the best of some rounds, after one that warms up."""
    found = []
    rounds = _ROUNDS if torch.cuda.is_available() else _ROUNDS_ON_CORES
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - start)
    return min(found[1:])


def mapping(figures: Figures, device: torch.device, limits: Limits, tiles: int) -> None:
    """The mapper's rates, from arrays in the processor's memory and with the data on the device."""
    trained, series = network(), np.tile(tile(), (1, 1, tiles))
    on_cores = MappingNetwork(trained, best_precision())
    first = np.ascontiguousarray(series[:, :, :TILE_PIXELS])
    cores = TILE_PIXELS / best_of(torch.device("cpu"), lambda: on_cores.predict(first, CORES))
    block_pixels = block_pixels_of(trained.settings) if figures.on_gpu else _BLOCK_ON_CORES
    on_device = GpuNetwork(trained, device, "bfloat16", block_pixels)
    pixels = series if figures.on_gpu else np.ascontiguousarray(first[:, :, : 4 * block_pixels])
    rate = pixels.shape[2] / best_of(device, lambda: on_device.predict(pixels, CORES))
    resident = torch.from_numpy(np.ascontiguousarray(first[:, :, :block_pixels])).to(device)
    with torch.inference_mode():
        block = block_pixels / best_of(device, lambda: on_device._predict_block(resident))
    compared = first if figures.on_gpu else pixels
    labels, expected = on_device.predict(compared, CORES)[0], on_cores.predict(compared, CORES)[0]
    figures.say(f"mapper on {CORES} cores ({on_cores.precision}): {cores:,.0f} pixels/s")
    figures.say(f"mapper on the device, from the processor's memory: {rate:,.0f} pixels/s, {rate / cores:.1f} times")
    differing = (labels != expected).mean()
    figures.say(f"mapper on the device, data there: {block:,.0f} pixels/s; labels differing {differing:.3%}")
    figures.reach(f"mapper at least {TIMES_THE_CORES:.0f} times {CORES} cores", rate >= TIMES_THE_CORES * cores)
    operations, moved = work_per_pixel(trained.settings)
    by_memory, by_arithmetic = limits.bytes_per_s / moved, limits.operations_per_s / operations
    binding = "memory" if by_memory < by_arithmetic else "bfloat16 arithmetic"
    share = block / min(by_memory, by_arithmetic)
    figures.say(
        f"a pixel takes {operations / 1e6:.2f} MFLOP and {moved} bytes: at most {by_memory:,.0f} pixels/s by memory, "
        f"{by_arithmetic:,.0f} by bfloat16; {binding} binds, and {share:.1%} of it is reached"
    )
    figures.reach(f"at least {SHARE_OF_LIMIT:.0%} of the limit that binds", share >= SHARE_OF_LIMIT)


def work_per_pixel(settings: NetworkSettings) -> tuple[int, int]:
    """Operations of the matrix products, and bytes that must be read and written at least; for one layer."""
    hidden, classes = settings.hidden, len(settings.classes)
    operations = settings.dates * 2 * 4 * hidden * (hidden + settings.channels) + 2 * hidden * classes
    return operations, settings.dates * len(settings.features) * 2 + classes * 4 + 1


def network() -> TrainedNetwork:
    """A network of the default size with random weights, of values that bfloat16 holds."""
    torch.manual_seed(1)
    settings = NetworkSettings(features=FEATURES, dates=DATES, hidden=64, layers=1, classes=tuple(range(1, 12)))
    module = SeriesClassifier(settings)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    return module.to_trained(measure_normalisation(phenologies(2000, 1)[0]))


def tile() -> NDArray[np.int16]:
    """(dates, features, pixels) of a tile."""
    series, _ = phenologies(TILE_PIXELS // 8, 2)
    return np.tile(np.ascontiguousarray(series.transpose(1, 2, 0)), (1, 1, 8))


def reading_and_writing(figures: Figures, folder: Path) -> None:
    """What the processor does for each year of a tile around the network: says how many processes feed a device."""
    grid = Tile("EPSG:32632", 640_000.0, 5_130_000.0, 10.0, 10.0, 512, 512, "t", "g", 0, 0)
    values = tile().reshape(DATES, len(FEATURES), *grid.shape)
    path = write_series(folder / "series.zarr.zip", grid, values, FEATURES)
    bands = np.random.default_rng(0).integers(0, 200, (14, 32, 512), dtype=np.uint8).repeat(16, axis=1)
    start = time.process_time()
    with reading_series(path) as reader:
        for _ in reader.blocks():
            pass
    read = time.process_time() - start
    write_cog(folder / "map.tif", bands, grid, names=[f"b{i}" for i in range(14)], nodata=None, level=1)
    written = time.process_time() - start - read
    figures.say(f"reading a year of a tile takes {read:.2f} s of one core, writing its map {written:.2f} s")


def training(figures: Figures, device: torch.device, folder: Path, count: int) -> None:
    """The share of an epoch in which the device waits for data that lie on disk."""
    count = count if figures.on_gpu else min(count, _SERIES_ON_CORES)
    series, labels = phenologies(count, 3)
    (folder / "series").write_bytes(series.tobytes())
    lines = np.arange(count)
    learned, judged = lines[count // 10 :], lines[: count // 10]
    stored = MappedSeries(folder / "series", DATES, len(FEATURES), resident_bytes=0)
    epochs: list[tuple[EpochMetrics, EpochTimes]] = []
    precision: Precision = "bfloat16" if figures.on_gpu else best_precision()
    train_network(
        TrainingSet(stored, labels[learned], lines=learned),
        TrainingSet(stored, labels[judged], lines=judged),
        TrainSettings(epochs=3),
        features=FEATURES,
        seed=1,
        threads=CORES,
        precision=precision,
        progress=lambda number, most, metrics, times: epochs.append((metrics, times)),
        group=Group(device=device),
    )
    times = min((times for _, times in epochs[1:]), key=lambda one: one.training_s)
    figures.say(
        f"trainer ({precision}): {len(learned) / times.training_s:,.0f} series/s, waiting for data "
        f"{times.waiting_share:.2%}, accuracy {epochs[-1][0].accuracy:.3f} after {len(epochs)} epochs"
    )
    figures.reach(f"waiting for data less than {WAITING:.0%}", times.waiting_share < WAITING)


if __name__ == "__main__":
    sys.exit(main())

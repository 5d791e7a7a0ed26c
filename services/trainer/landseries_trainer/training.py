"""Training one network: the same bytes for the same data, seed, precision and number of threads.

Cross entropy with label smoothing and a weight per series, AdamW with a one-cycle learning rate (Smith and Topin 2019:
up linearly, down along a cosine), gradients clipped, the weights of the epoch with the best validation macro-F1 kept.
All random numbers of an epoch (order, dropout, augmentation) come from (seed, epoch), so a training that was
interrupted and goes on from its checkpoint ends with the same weights as one that was not.

The recurrent weights are judged and kept as the nearest bfloat16 values (stored as float32): a mapper that multiplies
in bfloat16 then uses exactly the weights that were validated, and labels as one that multiplies in float32 does.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from landseries.errors import ArtifactError, Refused
from landseries.neural.network import SeriesClassifier
from landseries.neural.normalisation import (
    Normalisation,
    measure_normalisation,
    network_input,
    round_to_bfloat16,
)
from landseries.neural.weights import NetworkSettings, TrainedNetwork
from landseries.settings.trainer import TrainSettings
from landseries_trainer.augmentation import Augmentation
from landseries_trainer.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from landseries_trainer.curve import EpochMetrics, TrainingCurve, measure
from landseries_trainer.samples import TrainingSet

Progress = Callable[[int, int, EpochMetrics], None]
Precision = Literal["float32", "bfloat16"]

#: Share of the steps in which the learning rate rises, and the share of the highest one that it starts from.
_WARM_UP: Final = 0.2
_START: Final = 0.1
#: Longest gradient; longer ones are shortened to it.
_CLIP: Final = 1.0
#: Series that are labelled at a time in validation; their states fit in the cache.
_VALIDATION_BATCH: Final = 512


def train_network(
    training: TrainingSet,
    validation: TrainingSet,
    settings: TrainSettings,
    *,
    features: Sequence[str],
    seed: int,
    threads: int = 1,
    precision: Precision = "float32",
    augmentation: Augmentation | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> tuple[TrainedNetwork, TrainingCurve]:
    """Train one network.

    Args:
        training: The series to learn from; they also give the normalisation and the classes.
        validation: Series of other places, that decide which epoch is kept and when to stop.
        settings: The network and how it is trained.
        features: Names of the features, in their order; stored with the weights.
        seed: Of everything random, 0 or greater.
        threads: Of the matrix products; the weights' bytes are promised for one number.
        precision: Of the operands of matrix products in training; validation is in float32.
        augmentation: What is varied at random in the training series; the default of `Augmentation` if None.
        checkpoint: A file to go on from if it belongs to this very training, and to write after each epoch.
        progress: Called after each epoch with its number (from 1), the number of epochs at most, and its measures.

    Returns:
        The network with the weights of the best epoch, and the curve.

    Raises:
        Refused: Fewer than two classes, or no validation series of the classes.
        ArtifactError: Training and validation series have other dates or features than each other or than named.
    """
    run = _Training(training, validation, settings, tuple(features), seed, precision, augmentation or Augmentation())
    with _deterministic(threads):
        run.prepare(seed)
        if checkpoint is not None:
            run.restore(checkpoint)
        while len(run.curve.epochs) < settings.epochs and not run.curve.has_stalled(settings.patience):
            metrics = run.epoch(len(run.curve.epochs))
            if checkpoint is not None:
                run.save(checkpoint)
            if progress is not None:
                progress(len(run.curve.epochs), settings.epochs, metrics)
    return run.trained(), run.curve


@dataclass(frozen=True)
class _Data:
    channels: torch.Tensor  # (n, dates, features + 1) float32
    targets: torch.Tensor  # (n,) int64
    weights: torch.Tensor  # (n,) float32


class _Training:
    """One training between two epochs."""

    def __init__(
        self,
        training: TrainingSet,
        validation: TrainingSet,
        settings: TrainSettings,
        features: tuple[str, ...],
        seed: int,
        precision: Precision,
        augmentation: Augmentation,
    ) -> None:
        classes = np.unique(training.labels)
        judged = validation.of_classes(classes)
        _check_sets(training, judged, features, classes)
        self.settings = settings
        self.seed = seed
        self.precision = precision
        self.augmentation = augmentation
        self.network_settings = NetworkSettings(
            features=features,
            dates=training.series.shape[1],
            hidden=settings.hidden,
            layers=settings.layers,
            classes=tuple(int(c) for c in classes),
        )
        self.normalisation: Normalisation = measure_normalisation(training.series)
        self.data = _to_tensors(training, classes, self.normalisation)
        self.judged = _to_tensors(judged, classes, self.normalisation)
        self.curve = TrainingCurve(ignored_validation=len(validation) - len(judged))
        self.best: dict[str, NDArray[np.float32]] = {}
        self.digest = _digest(
            (training, validation), [settings.model_dump(mode="json"), features, seed, precision, asdict(augmentation)]
        )

    def prepare(self, seed: int) -> None:
        """Draw the first weights."""
        torch.manual_seed(_draw_seed(seed, -1))
        self.network = SeriesClassifier(self.network_settings, self.settings.dropout)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def epoch(self, number: int) -> EpochMetrics:
        """Learn from every series once, then validate; `number` counts from 0."""
        count = len(self.data.targets)
        batches = -(-count // self.settings.batch_size)
        order = torch.from_numpy(np.random.default_rng([self.seed, number]).permutation(count))
        torch.manual_seed(_draw_seed(self.seed, number))
        self.network.train()
        total = 0.0
        for batch, chosen in enumerate(torch.tensor_split(order, batches)):
            rate = one_cycle(number * batches + batch, self.settings.epochs * batches)
            for group in self.optimiser.param_groups:
                group["lr"] = self.settings.learning_rate * rate
            total += self._step(chosen) * len(chosen)
        metrics = self._validate(total / count)
        self.curve = self.curve.with_epoch(metrics)
        if self.curve.best_epoch == number:
            self.best = _rounded(self.network)
        return metrics

    def trained(self) -> TrainedNetwork:
        """The network with the weights of the best epoch."""
        return TrainedNetwork(self.network_settings, self.normalisation.mean, self.normalisation.std, self.best)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint, if it is one of this training."""
        found = read_checkpoint(path, self.digest, {name: a.shape for name, a in self._arrays(shapes=True).items()})
        if found is None:
            return
        self.curve = found.curve
        self.best = found.group("best")
        self.network.load_state_dict({k: torch.from_numpy(a) for k, a in found.group("network").items()})
        state = found.group("optimiser")
        for name, parameter in self.network.named_parameters():
            self.optimiser.state[parameter] = {
                key: torch.from_numpy(state[f"{name}/{key}"].copy()) for key in ("step", "exp_avg", "exp_avg_sq")
            }

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        write_checkpoint(path, Checkpoint(self.digest, self.curve, self._arrays()))

    def _arrays(self, shapes: bool = False) -> dict[str, NDArray[np.float32]]:
        """Everything that a checkpoint holds; with `shapes` also before the first step, for the shapes alone."""
        arrays = {f"network/{name}": array for name, array in self.network.state_arrays().items()}
        best = self.network.state_arrays() if shapes else self.best
        arrays.update({f"best/{name}": array for name, array in best.items()})
        for name, parameter in self.network.named_parameters():
            fresh = {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
            state: dict[str, Any] = fresh if shapes else self.optimiser.state[parameter]
            for key, tensor in state.items():
                arrays[f"optimiser/{name}/{key}"] = tensor.detach().numpy()
        return arrays

    def _step(self, chosen: torch.Tensor) -> float:
        channels = self.augmentation.apply(self.data.channels[chosen])
        weights = self.data.weights[chosen]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
            scores = self.network(channels)
        losses = torch.nn.functional.cross_entropy(
            scores.float(), self.data.targets[chosen], reduction="none", label_smoothing=self.settings.label_smoothing
        )
        loss = (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(torch.float32).tiny)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimiser.step()
        return float(loss.detach())

    def _validate(self, loss: float) -> EpochMetrics:
        judge = SeriesClassifier(self.network_settings)
        judge.load_state_dict({name: torch.from_numpy(array) for name, array in _rounded(self.network).items()})
        judge.eval()
        with torch.inference_mode():
            scores = torch.cat([judge(part) for part in torch.split(self.judged.channels, _VALIDATION_BATCH)])
            log_probabilities = torch.log_softmax(scores, dim=1).numpy()
        return measure(loss, log_probabilities, self.judged.targets.numpy())


def one_cycle(step: int, steps: int) -> float:
    """The learning rate of a step as a share of the highest one (Smith and Topin 2019, with a cosine descent).

    Args:
        step: From 0 to steps - 1.
        steps: Of the whole training, if it is not stopped early.
    """
    rise = _WARM_UP * steps
    if step < rise:
        return _START + (1 - _START) * step / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _rounded(network: SeriesClassifier) -> dict[str, NDArray[np.float32]]:
    """A copy of the weights, those of the LSTM's matrices as the nearest bfloat16 values."""
    arrays = network.state_arrays()
    for name, array in arrays.items():
        if name.startswith("lstm.weight"):
            arrays[name] = round_to_bfloat16(array)
    return arrays


def _to_tensors(samples: TrainingSet, classes: NDArray[np.uint8], normalisation: Normalisation) -> _Data:
    weights = np.ones(len(samples), np.float32) if samples.weights is None else samples.weights
    return _Data(
        torch.from_numpy(network_input(samples.series, normalisation)),
        torch.from_numpy(np.searchsorted(classes, samples.labels).astype(np.int64)),
        torch.from_numpy(weights.copy()),
    )


def _check_sets(
    training: TrainingSet, judged: TrainingSet, features: tuple[str, ...], classes: NDArray[np.uint8]
) -> None:
    if classes.size < 2:
        raise Refused(f"{len(training)} training series of {classes.size} classes; at least two classes are needed")
    if len(judged) == 0:
        raise Refused("no validation series of the classes that occur in training; use more or smaller blocks")
    if training.series.shape[1:] != judged.series.shape[1:]:
        raise ArtifactError(
            f"training series have (dates, features) {training.series.shape[1:]}, validation series "
            f"{judged.series.shape[1:]}"
        )
    if training.series.shape[2] != len(features):
        raise ArtifactError(f"series have {training.series.shape[2]} features, {len(features)} are named")


def _digest(sets: tuple[TrainingSet, ...], described: list[object]) -> str:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for one in sets:
        for array in (one.series, one.labels, one.weights):
            digest.update(repr(None if array is None else (array.shape, array.dtype.str)).encode())
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _draw_seed(seed: int, epoch: int) -> int:
    """A seed for PyTorch that differs between epochs and between trainings; epoch -1 is before the first."""
    return int(np.random.default_rng([seed, epoch + 1, 1]).integers(2**63 - 1))


@contextmanager
def _deterministic(threads: int) -> Iterator[None]:
    """PyTorch with this many threads and no operation that may vary; its own random numbers are left as they were."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling every new tensor only helps to find reads before writes, and takes an eighth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]

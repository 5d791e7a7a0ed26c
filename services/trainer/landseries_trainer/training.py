"""Training one network: the same bytes for the same data, seed, precision and number of threads.

Cross entropy with label smoothing and a weight per series, AdamW with a one-cycle learning rate (Smith and Topin 2019:
up linearly, down along a cosine), gradients clipped, the weights of the epoch with the best validation macro-F1 kept.
All random numbers of an epoch (order, dropout, augmentation) come from (seed, epoch), so a training that was
interrupted and goes on from its checkpoint ends with the same weights as one that was not.

Any number of processes may train one network together (`group`): each takes its parts of every batch, and everything
random is drawn for whole batches, so that they do together what one process does. The bytes depend on the number of
parts, because sums are rounded, but not on the number of processes.

The recurrent weights are judged and kept as the nearest bfloat16 values (stored as float32): a mapper that multiplies
in bfloat16 then uses exactly the weights that were validated, and labels as one that multiplies in float32 does.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from landseries.errors import ArtifactError, Refused
from landseries.neural.devices import moved
from landseries.neural.network import SeriesClassifier
from landseries.neural.normalisation import Normalisation, measure_in_parts, round_to_bfloat16
from landseries.neural.weights import NetworkSettings, TrainedNetwork
from landseries.settings.trainer import TrainSettings
from landseries_trainer.augmentation import Augmentation
from landseries_trainer.batches import Batch, Batches, Labelled
from landseries_trainer.checkpoints import Checkpoint, read_shared_checkpoint, write_checkpoint
from landseries_trainer.curve import EpochMetrics, TrainingCurve, measure
from landseries_trainer.deterministic import deterministic
from landseries_trainer.forward import Precision, TrainedForward
from landseries_trainer.gradients import flat_gradients, set_gradients
from landseries_trainer.group import ALONE, Group
from landseries_trainer.samples import TrainingSet


@dataclass(frozen=True)
class EpochTimes:
    """What an epoch took.

    Attributes:
        training_s: Seconds of learning, without validation.
        waited_s: Those of them in which the computation waited for data.
    """

    training_s: float
    waited_s: float

    @property
    def waiting_share(self) -> float:
        """Share of the time of learning that went into waiting for data."""
        return self.waited_s / self.training_s if self.training_s > 0 else 0.0


Progress = Callable[[int, int, EpochMetrics, EpochTimes], None]

#: Share of the steps in which the learning rate rises, and the share of the highest one that it starts from.
_WARM_UP: Final = 0.2
_START: Final = 0.1
#: Longest gradient; longer ones are shortened to it.
_CLIP: Final = 1.0
#: Series that are labelled at a time in validation: their states fit in a processor's cache, or fill a GPU.
_VALIDATION_BATCH: Final = {"cpu": 512, "cuda": 16_384}


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
    group: Group = ALONE,
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
        progress: Called after each epoch with its number (from 1), the number of epochs at most, its measures and its
            times.
        group: The processes that train together; all call this with the same arguments, and process 0 alone writes
            the checkpoint and calls `progress`. The weights' bytes are promised for one number of parts.

    Returns:
        The network with the weights of the best epoch, and the curve.

    Raises:
        Refused: Fewer than two classes, or no validation series of the classes.
        ArtifactError: Training and validation series have other dates or features than each other or than named.
    """
    run = _Training(
        training, validation, settings, tuple(features), seed, precision, augmentation or Augmentation(), group
    )
    with deterministic(threads):
        run.prepare(seed)
        if checkpoint is not None:
            run.restore(checkpoint)
        while len(run.curve.epochs) < settings.epochs and not run.curve.has_stalled(settings.patience):
            metrics, times = run.epoch(len(run.curve.epochs))
            if checkpoint is not None and group.is_first:
                run.save(checkpoint)
            if progress is not None and group.is_first:
                progress(len(run.curve.epochs), settings.epochs, metrics, times)
    return run.trained(), run.curve


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
        group: Group,
    ) -> None:
        classes = np.unique(training.labels)
        judged = validation.of_classes(classes)
        _check_sets(training, judged, features, classes)
        self.settings = settings
        self.seed = seed
        self.precision = precision
        self.augmentation = augmentation
        self.group = group
        self.network_settings = NetworkSettings(
            features=features,
            dates=training.axes[0],
            hidden=settings.hidden,
            layers=settings.layers,
            classes=tuple(int(c) for c in classes),
        )
        self.normalisation: Normalisation = measure_in_parts(training.parts(), training.axes[1])
        self.data = Labelled(training, classes, self.normalisation)
        self.judged = Labelled(judged, classes, self.normalisation)
        self.curve = TrainingCurve(ignored_validation=len(validation) - len(judged))
        self.best: dict[str, NDArray[np.float32]] = {}
        self.digest = _digest(
            (training, validation), [settings.model_dump(mode="json"), features, seed, precision, asdict(augmentation)]
        )

    def prepare(self, seed: int) -> None:
        """Draw the first weights."""
        torch.manual_seed(_draw_seed(seed, -1))
        self.network = SeriesClassifier(self.network_settings).to(self.group.device)
        self.forward = TrainedForward(self.network, self.settings.dropout, self.precision)
        self.joined = self.group.joined(self.forward)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def epoch(self, number: int) -> tuple[EpochMetrics, EpochTimes]:
        """Learn from every series once, then validate; `number` counts from 0."""
        start = time.perf_counter()
        count = len(self.data)
        steps = -(-count // self.settings.batch_size)
        order = np.random.default_rng([self.seed, number]).permutation(count)
        torch.manual_seed(_draw_seed(self.seed, number))
        batches = Batches(self.data, order, steps, self.group)
        losses = torch.zeros(self.group.parts, dtype=torch.float64, device=self.group.device)
        for step, parts in enumerate(batches):
            rate = one_cycle(number * steps + step, self.settings.epochs * steps)
            for group in self.optimiser.param_groups:
                group["lr"] = self.settings.learning_rate * rate
            for part, loss in zip(parts, self._step(parts), strict=True):
                losses[part.part] += loss.double() * part.size
        mean_loss = float(self.group.add(losses).sum()) / count
        times = EpochTimes(time.perf_counter() - start, batches.waited_s)
        metrics = self._validate(mean_loss)
        self.curve = self.curve.with_epoch(metrics)
        if self.curve.best_epoch == number:
            self.best = _rounded(self.network)
        return metrics, times

    def trained(self) -> TrainedNetwork:
        """The network with the weights of the best epoch."""
        return TrainedNetwork(self.network_settings, self.normalisation.mean, self.normalisation.std, self.best)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint, if it is one of this training."""
        shapes = {name: array.shape for name, array in self._arrays(shapes=True).items()}
        found = read_shared_checkpoint(path, self.digest, shapes, self.group)
        if found is None:
            return
        self.curve = found.curve
        self.best = found.group("best")
        self.network.load_state_dict({k: torch.from_numpy(a) for k, a in found.group("network").items()})
        state = found.group("optimiser")
        for name, parameter in self.network.named_parameters():
            self.optimiser.state[parameter] = {
                key: torch.from_numpy(state[f"{name}/{key}"].copy()).to(self.group.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
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
                arrays[f"optimiser/{name}/{key}"] = tensor.detach().cpu().numpy()
        return arrays

    def _step(self, parts: Sequence[Batch]) -> list[torch.Tensor]:
        """Learn from one batch; the loss of each of this process's parts."""
        parameters = list(self.network.parameters())
        start = torch.get_rng_state()
        losses, flat = [], torch.zeros((), dtype=torch.float64, device=self.group.device)
        for part in parts:
            torch.set_rng_state(start)  # all parts see the random numbers of the whole batch
            self.optimiser.zero_grad()
            losses.append(self._differentiate(part))
            if not self.group.adds_by_itself:
                flat = flat + flat_gradients(parameters)
        if not self.group.adds_by_itself:
            set_gradients(parameters, self.group.add(flat))
        torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
        self.optimiser.step()
        return losses

    def _differentiate(self, batch: Batch) -> torch.Tensor:
        """The loss of a part of a batch; its gradients are left with the parameters."""
        device = self.group.device
        channels = batch.channels.to(device, non_blocking=True)
        channels = self.augmentation.apply(channels, batch.size, batch.own)
        factors = [moved(one, device) for one in self.forward.draw(batch.size, batch.own, channels.shape[1])]
        targets, weights = (one.to(device, non_blocking=True) for one in (batch.targets, batch.weights))
        losses = torch.nn.functional.cross_entropy(
            self.joined(channels, factors), targets, reduction="none", label_smoothing=self.settings.label_smoothing
        )
        # Divided by the weight of the whole batch: the parts of all processes add up to its mean.
        whole = moved(batch.weight.clamp_min(torch.finfo(torch.float32).tiny), device)
        loss: torch.Tensor = (losses * weights).sum() / whole
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _validate(self, loss: float) -> EpochMetrics:
        """Judge the rounded weights; each process labels some of the series, and all learn the measures."""
        judge = SeriesClassifier(self.network_settings)
        judge.load_state_dict({name: torch.from_numpy(array) for name, array in _rounded(self.network).items()})
        judge.to(self.group.device).eval()
        count = len(self.judged)
        log_probabilities = torch.zeros(count, len(self.network_settings.classes))
        size = _VALIDATION_BATCH[self.group.device.type]
        parts = range(0, count, size)
        with torch.inference_mode():
            for start in parts[self.group.rank :: self.group.size]:
                part = slice(start, min(start + size, count))
                scores = judge(moved(self.judged.channels(part), self.group.device))
                log_probabilities[part] = torch.log_softmax(scores, dim=1).cpu()
        # The others' lines are 0 here: the sum is what each of them found, to the bit.
        gathered = self.group.add(log_probabilities).numpy()
        return measure(loss, gathered, self.judged.targets(slice(None)))


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


def _check_sets(
    training: TrainingSet, judged: TrainingSet, features: tuple[str, ...], classes: NDArray[np.uint8]
) -> None:
    if classes.size < 2:
        raise Refused(f"{len(training)} training series of {classes.size} classes; at least two classes are needed")
    if len(judged) == 0:
        raise Refused("no validation series of the classes that occur in training; use more or smaller blocks")
    if training.axes != judged.axes:
        raise ArtifactError(f"training series have (dates, features) {training.axes}, validation series {judged.axes}")
    if training.axes[1] != len(features):
        raise ArtifactError(f"series have {training.axes[1]} features, {len(features)} are named")


def _digest(sets: tuple[TrainingSet, ...], described: list[object]) -> str:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for one in sets:
        digest.update(repr(((len(one), *one.axes), one.series.dtype.str)).encode())
        for part in one.parts():
            digest.update(np.ascontiguousarray(part).data)
        for array in (one.labels, one.weights):
            digest.update(repr(None if array is None else (array.shape, array.dtype.str)).encode())
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _draw_seed(seed: int, epoch: int) -> int:
    """A seed for PyTorch that differs between epochs and between trainings; epoch -1 is before the first."""
    return int(np.random.default_rng([seed, epoch + 1, 1]).integers(2**63 - 1))

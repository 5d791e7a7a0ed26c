"""All networks of one model, trained one after the other by a process that is alone or by a group of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from landseries.errors import Refused
from landseries.models import POOLED_MODELS, POOLED_NETWORK
from landseries.neural.weights import TrainedNetwork
from landseries.numerics import NumericsProfile
from landseries.settings.trainer import TrainSettings
from landseries_trainer.augmentation import Augmentation
from landseries_trainer.curve import EpochMetrics
from landseries_trainer.group import SILENCE_S, Group
from landseries_trainer.mapped import MappedTable, map_flat
from landseries_trainer.samples import TrainingSet
from landseries_trainer.training import EpochTimes, train_network

_TRAINING, _VALIDATION = 0, 1


class TrainingJob(BaseModel):
    """All that a process needs to know to train a model's networks.

    Attributes:
        model: the model.
        years: the years of the run.
        features: features of every series, in stored order.
        seed: the run's seed.
        settings: the network and how it is trained.
        profile: the numerics profile.
        table: folder of the flat table.
        checkpoints: folder that outlives the process.
        silence_s: seconds after which a process that does not answer the others is an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    years: tuple[int, ...]
    features: tuple[str, ...]
    seed: int
    settings: TrainSettings
    profile: NumericsProfile
    table: Path
    checkpoints: Path
    silence_s: float = SILENCE_S


@dataclass
class TrainedModel:
    """The networks of a model.

    Attributes:
        networks: network by name.
        described: by name, numbers of series and the training curve, as plain values.
        left_out: by name, why a network could not be trained.
    """

    networks: dict[str, TrainedNetwork] = field(default_factory=dict)
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def train_networks(job: TrainingJob, group: Group, log: Callable[[str], None]) -> TrainedModel:
    """Train a model's networks, each from its checkpoint, where an interrupted try left one, even of its last epoch.

    All networks of a run start from the same seed, so that models differ by what they are trained on alone.

    Args:
        job: what to train.
        group: the processes that do it together.
        log: told of every epoch, in process 0.
    """
    table = map_flat(job.table, len(job.features))
    trained = TrainedModel()
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    for name, chosen in _lines_of_networks(table, job.model, job.years).items():
        training, validation = _split(table, chosen, _TRAINING), _split(table, chosen, _VALIDATION)
        try:
            network, curve = train_network(
                training,
                validation,
                job.settings,
                features=job.features,
                seed=job.seed,
                threads=job.profile.training_threads,
                checkpoint=job.checkpoints / f"{name}.safetensors",
                precision=job.profile.precision,
                augmentation=Augmentation(date_drop=job.settings.date_drop),
                progress=lambda *told, name=name: log(_describe_epoch(name, *told)),
                group=group,
            )
        except Refused as refused:
            trained.left_out[name] = str(refused)
            continue
        trained.networks[name] = network
        trained.described[name] = {
            "training_series": len(training),
            "validation_series": len(validation),
            "curve": curve.to_json(),
        }
    return trained


def _lines_of_networks(table: MappedTable, model: str, years: tuple[int, ...]) -> dict[str, npt.NDArray[np.bool_]]:
    """Which lines each network of the model is trained on; no network for a year without lines."""
    year_of = table.columns["year"]
    if model in POOLED_MODELS:
        return {POOLED_NETWORK: np.ones(len(year_of), dtype=bool)}
    lines = {str(year): np.asarray(year_of == year) for year in years}
    return {name: chosen for name, chosen in lines.items() if chosen.any()}


def _split(table: MappedTable, chosen: npt.NDArray[np.bool_], split: int) -> TrainingSet:
    """The chosen lines of one split."""
    lines = np.flatnonzero(chosen & (table.columns["split"] == split))
    return TrainingSet(table.series, table.columns["class"][lines], table.columns["weight"][lines], lines)


def _describe_epoch(name: str, epoch: int, epochs: int, metrics: EpochMetrics, times: EpochTimes) -> str:
    return (
        f"network {name}, epoch {epoch} of at most {epochs}: loss {metrics.loss:.3f}, validation loss "
        f"{metrics.validation_loss:.3f}, accuracy {metrics.accuracy:.3f}, macro F1 {metrics.macro_f1:.3f}; "
        f"{times.training_s:.1f} s, {times.waiting_share:.1%} of it waiting for data"
    )

"""The trainer's stage: a model's table in, the weights of its networks and their training curves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landseries.artifacts.documents import write_json
from landseries.artifacts.tables import read_columns
from landseries.errors import ArtifactError, Refused
from landseries.models import POOLED_MODELS, POOLED_NETWORK
from landseries.neural.weights import TrainedNetwork, write_weights
from landseries.pipeline import WEIGHTS
from landseries.service import Context
from landseries.settings.trainer import TrainSettings
from landseries_trainer.augmentation import Augmentation
from landseries_trainer.curve import EpochMetrics, TrainingCurve
from landseries_trainer.samples import TrainingSet
from landseries_trainer.training import train_network

_TRAINING, _VALIDATION = 0, 1


def train(context: Context) -> None:
    """Train a model's networks: `weights.safetensors` and `summary.json`.

    All networks of a run start from the same seed, so that models differ by what they are trained on alone. A year
    whose network cannot be trained is left out, and named in the summary.

    Raises:
        Refused: the dataset has no table of the model, or none of its networks can be trained.
        ArtifactError: the table does not fit the run's features.
    """
    table = _read_table(context)
    networks: dict[str, TrainedNetwork] = {}
    described: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, chosen in table.networks(context.unit["model"], context.years).items():
        training, validation = table.split(chosen, _TRAINING), table.split(chosen, _VALIDATION)
        try:
            networks[name], curve = _train_one(context, name, training, validation)
        except Refused as refused:
            left_out[name] = str(refused)
            continue
        described[name] = _describe(context, networks[name], curve, training, validation)
    if not networks:
        raise Refused("; ".join(f"network {name}: {reason}" for name, reason in left_out.items()))
    write_weights(context.output(WEIGHTS), networks)
    summary = {
        "model": context.unit["model"],
        "features": list(context.features),
        "settings": context.settings(TrainSettings).model_dump(mode="json"),
        "networks": described,
        "left_out": left_out,
    }
    write_json(context.output("summary.json"), summary)


@dataclass(frozen=True)
class _Table:
    """A model's annual series, (n, dates, features) int16, with the split, year, class and weight of each."""

    series: npt.NDArray[np.int16]
    columns: dict[str, npt.NDArray[Any]]

    def networks(self, model: str, years: tuple[int, ...]) -> dict[str, npt.NDArray[np.bool_]]:
        """Which lines each network of the model is trained on."""
        if model in POOLED_MODELS:
            return {POOLED_NETWORK: np.ones(len(self.series), dtype=bool)}
        lines = {str(year): np.asarray(self.columns["year"] == year) for year in years}
        return {name: chosen for name, chosen in lines.items() if chosen.any()}

    def split(self, chosen: npt.NDArray[np.bool_], split: int) -> TrainingSet:
        """The chosen lines of one split."""
        lines = chosen & (self.columns["split"] == split)
        return TrainingSet(self.series[lines], self.columns["class"][lines], self.columns["weight"][lines])


def _read_table(context: Context) -> _Table:
    item, name = context.input("dataset"), f"{context.unit['model']}.parquet"
    if name not in item.marker.outputs:
        raise Refused(f"{item.unit.name} has no samples for this model; its summary.json says why")
    with context.local(item, name) as path:
        columns = read_columns(path, "split", "year", "class", "weight", "series")
    series = columns.pop("series")
    if series.ndim != 2 or series.dtype != np.int16 or series.shape[1] % len(context.features):
        raise ArtifactError(
            f"{item.unit.name}, {name}: series of shape {series.shape} and {series.dtype} are no int16 dates of the "
            f"{len(context.features)} features {', '.join(context.features)}"
        )
    return _Table(series.reshape(len(series), -1, len(context.features)), columns)


def _train_one(
    context: Context, name: str, training: TrainingSet, validation: TrainingSet
) -> tuple[TrainedNetwork, TrainingCurve]:
    """Train one network; from its checkpoint, where an interrupted try left one, even of its last epoch."""

    def progress(epoch: int, epochs: int, metrics: EpochMetrics) -> None:
        context.log(
            f"network {name}, epoch {epoch} of at most {epochs}: loss {metrics.loss:.3f}, validation loss "
            f"{metrics.validation_loss:.3f}, accuracy {metrics.accuracy:.3f}, macro F1 {metrics.macro_f1:.3f}"
        )

    context.checkpoints.mkdir(parents=True, exist_ok=True)
    settings = context.settings(TrainSettings)
    return train_network(
        training,
        validation,
        settings,
        features=context.features,
        seed=context.seed,
        threads=context.profile.training_threads,
        checkpoint=context.checkpoints / f"{name}.safetensors",
        precision=context.profile.precision,
        augmentation=Augmentation(date_drop=settings.date_drop),
        progress=progress,
    )


def _describe(
    context: Context,
    network: TrainedNetwork,
    curve: TrainingCurve,
    training: TrainingSet,
    validation: TrainingSet,
) -> dict[str, Any]:
    return {
        "classes": [context.legend.name_of(class_id) for class_id in network.settings.classes],
        "dates": network.settings.dates,
        "training_series": len(training),
        "validation_series": len(validation),
        "curve": curve.to_json(),
    }

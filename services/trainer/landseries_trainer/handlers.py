"""The trainer's stage: a model's table in, the weights of its networks and their training curves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landseries.artifacts.documents import write_json
from landseries.errors import ArtifactError, LandseriesError, Refused
from landseries.groups import Membership, membership
from landseries.neural.devices import device_of
from landseries.neural.weights import TrainedNetwork, write_weights
from landseries.numerics import visible_gpus
from landseries.pipeline import WEIGHTS
from landseries.service import Assisted, Context
from landseries.settings.trainer import TrainSettings
from landseries_trainer.group import joining
from landseries_trainer.launch import train_in_group
from landseries_trainer.mapped import write_flat
from landseries_trainer.networks import TrainedModel, TrainingJob, train_networks


def train(context: Context) -> None:
    """Train a model's networks: `weights.safetensors` and `summary.json`.

    A year whose network cannot be trained is left out, and named in the summary.

    Raises:
        Refused: the dataset has no table of the model, or none of its networks can be trained.
        ArtifactError: the table does not fit the run's features.
        Assisted: this process belongs to a group, of which another process writes.
    """
    trained = _train(job_of(context), context)
    if not trained.networks:
        raise Refused("; ".join(f"network {name}: {reason}" for name, reason in trained.left_out.items()))
    write_weights(context.output(WEIGHTS), trained.networks)
    networks = {
        name: {**_describe(context, network), **trained.described[name]} for name, network in trained.networks.items()
    }
    summary = {
        "model": context.unit["model"],
        "features": list(context.features),
        "settings": context.settings(TrainSettings).model_dump(mode="json"),
        "networks": networks,
        "left_out": trained.left_out,
    }
    write_json(context.output("summary.json"), summary)


def _train(job: TrainingJob, context: Context) -> TrainedModel:
    """Train here, in a group of processes that is started here, or as one of a group that torchrun or srun started."""
    own, parts = membership(), job.profile.training_processes
    processes = _possible_processes(job)
    if own is None and processes > 1:
        return train_in_group(job, processes, context.scratch / "group", context.log)
    _check_size(own, parts)
    with joining(own, device_of(job.profile.device, job.profile.precision), parts, job.silence_s) as group:
        trained = train_networks(job, group, context.log)
    if not group.is_first:
        raise Assisted(f"process {group.rank} of {group.size}; process 0 writes")
    return trained


def job_of(context: Context) -> TrainingJob:
    """What a unit's processes need to know; its table is laid out in the unit's scratch folder."""
    return TrainingJob(
        model=context.unit["model"],
        years=context.years,
        features=context.features,
        seed=context.seed,
        settings=context.settings(TrainSettings),
        profile=context.profile,
        table=_flat_table(context),
        checkpoints=context.checkpoints,
    )


def _flat_table(context: Context) -> Path:
    item, name = context.input("dataset"), f"{context.unit['model']}.parquet"
    if name not in item.marker.outputs:
        raise Refused(f"{item.unit.name} has no samples for this model; its summary.json says why")
    folder = context.scratch / "table"
    with context.local(item, name) as path:
        try:
            write_flat(path, folder, context.features)
        except ArtifactError as error:
            raise ArtifactError(f"{item.unit.name}, {name}: {error}") from error
    return folder


def _possible_processes(job: TrainingJob) -> int:
    """As many as the run is planned for; on GPUs no more than there are, which do several parts each."""
    wanted = job.profile.training_processes
    return min(wanted, max(1, visible_gpus())) if job.profile.device == "cuda" else wanted


def _check_size(own: Membership | None, parts: int) -> None:
    if own is not None and own.size > parts:
        raise LandseriesError(
            f"this process was started in a group of {own.size}, and the run is planned for {parts} training processes "
            "(numerics.training_processes), which its results are promised for: start as many, or fewer"
        )


def _describe(context: Context, network: TrainedNetwork) -> dict[str, Any]:
    classes = [context.legend.name_of(class_id) for class_id in network.settings.classes]
    return {"classes": classes, "dates": network.settings.dates}

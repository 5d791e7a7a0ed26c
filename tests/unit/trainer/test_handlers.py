"""The trainer's stage on small tables of series that a small network can tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.harness import Bench, cube_plan
from support.pixels import series_of_labels

from landseries.artifacts.documents import read_json
from landseries.artifacts.tables import write_table
from landseries.errors import ArtifactError, Refused
from landseries.neural.weights import read_weights
from landseries.numerics import NumericsProfile
from landseries.pipeline import WEIGHTS, Unit
from landseries_trainer import handlers
from landseries_trainer.handlers import train
from landseries_trainer.networks import TrainedModel, TrainingJob

YEARS = (2018, 2019, 2020)
DATASET = Unit("dataset", ("all",))


def _bench(folder: Path, name: str = "runs", **fields: Any) -> Bench:
    settings = {"hidden": 8, "epochs": 3, "batch_size": 32, "learning_rate": 0.02}
    plan = cube_plan(folder, years=YEARS, models=["multi-year", "single-year"], trainer={"train": settings}, **fields)
    return Bench(plan, folder / name)


def _table(path: Path, *, without: tuple[int, int] | None = None, features: int = 2) -> Path:
    """60 training and 30 validation series a year of the classes 2, 3 and 7; `without` leaves out a (split, year)."""
    lines = [(split, year) for split, count in ((0, 60), (1, 30)) for year in YEARS for _ in range(count)]
    split, year = np.array([line for line in lines if line != without]).T
    classes = np.array([2, 3, 7], dtype=np.uint8)[np.arange(len(split)) % 3]
    series = series_of_labels(classes[np.newaxis], features=features)[:, :, 0, :]
    columns = {
        "split": split.astype(np.uint8),
        "year": year.astype(np.int16),
        "class": classes,
        "weight": np.ones(len(split), dtype=np.float32),
        "series": series.reshape(-1, len(split)).T,
    }
    write_table(path, columns)
    return path


def _unit(model: str) -> Unit:
    return Unit("train", ("all", model))


def _given(folder: Path, model: str, **table: Any) -> dict[Unit, dict[str, Path]]:
    name = f"{model}.parquet"
    return {DATASET: {name: _table(folder / name, **table)}}


def test_a_multi_year_model_is_one_network_of_all_years(tmp_path: Path) -> None:
    bench = _bench(tmp_path)
    files = bench.run(train, _unit("multi-year"), _given(tmp_path, "multi-year"))
    assert set(files) == {WEIGHTS, "summary.json"}
    networks = read_weights(files[WEIGHTS])
    assert list(networks) == ["all"]
    assert networks["all"].settings.features == ("B04", "B08")
    assert networks["all"].settings.dates == 5
    assert networks["all"].settings.classes == (2, 3, 7)
    described = read_json(files["summary.json"])["networks"]["all"]
    assert (described["training_series"], described["validation_series"]) == (180, 90)
    assert described["classes"] == ["Grass", "Crops", "Broadleaves"]
    assert len(described["curve"]["epochs"]) == 3
    assert sum("network all, epoch" in message for message in bench.messages) == 3


def test_a_single_year_model_is_one_network_per_year_of_that_year_alone(tmp_path: Path) -> None:
    files = _bench(tmp_path).run(train, _unit("single-year"), _given(tmp_path, "single-year"))
    described = read_json(files["summary.json"])["networks"]
    assert sorted(read_weights(files[WEIGHTS])) == sorted(described) == ["2018", "2019", "2020"]
    assert {network["training_series"] for network in described.values()} == {60}

    # What stands in the table for other years must not reach a year's network.
    folder = tmp_path / "without"
    folder.mkdir()
    fewer = _bench(folder).run(train, _unit("single-year"), _given(folder, "single-year", without=(0, 2018)))
    all_years, two_years = read_weights(files[WEIGHTS]), read_weights(fewer[WEIGHTS])
    assert sorted(two_years) == ["2019", "2020"]
    assert "training series of 0 classes" in read_json(fewer["summary.json"])["left_out"]["2018"]
    for name, array in two_years["2019"].state.items():
        assert array.shape == all_years["2019"].state[name].shape


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    given = _given(tmp_path, "single-year")
    first = _bench(tmp_path, "first").run(train, _unit("single-year"), given)
    second = _bench(tmp_path, "second").run(train, _unit("single-year"), given)
    other = _bench(tmp_path, "other", seed=1).run(train, _unit("single-year"), given)
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes()
    assert first[WEIGHTS].read_bytes() != other[WEIGHTS].read_bytes()


def test_an_interrupted_unit_goes_on_and_trains_no_finished_network_again(tmp_path: Path) -> None:
    given = _given(tmp_path, "single-year")
    whole = _bench(tmp_path, "whole").run(train, _unit("single-year"), given)
    bench = _bench(tmp_path, "interrupted")
    context = bench.context(_unit("single-year"), given, checkpoints=tmp_path / "checkpoints")

    def interrupt(text: str) -> None:
        if text.startswith("network 2019, epoch 2"):
            raise KeyboardInterrupt

    context._notify = interrupt
    with pytest.raises(KeyboardInterrupt):
        train(context)
    again = bench.run(train, _unit("single-year"), given, checkpoints=tmp_path / "checkpoints")
    assert [message.split(":")[0] for message in bench.messages] == [
        "network 2019, epoch 3 of at most 3",
        *(f"network 2020, epoch {epoch} of at most 3" for epoch in (1, 2, 3)),
    ]
    for name, path in whole.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_a_model_without_samples_is_refused(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text("{}")
    with pytest.raises(Refused, match="no samples for this model"):
        _bench(tmp_path).run(train, _unit("multi-year"), {DATASET: {"summary.json": summary}})


def test_a_table_of_other_features_names_both(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"multi-year.parquet: series of shape \(270, 15\).*B04, B08"):
        _bench(tmp_path).run(train, _unit("multi-year"), _given(tmp_path, "multi-year", features=3))


@pytest.mark.parametrize(("gpus", "started"), [(1, None), (2, 2), (4, 4), (8, 4)])
def test_on_gpus_no_more_processes_start_than_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, started: int | None
) -> None:
    """With one GPU this process does all four parts by itself."""
    seen: list[int] = []

    def start(job: TrainingJob, processes: int, *_: Any) -> TrainedModel:
        seen.append(processes)
        raise Refused("seen")

    monkeypatch.setattr(handlers, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(handlers, "train_in_group", start)
    monkeypatch.setattr(handlers, "device_of", lambda device, precision: torch.device("cpu"))
    bench = _bench(tmp_path, numerics=NumericsProfile(device="cuda", training_processes=4))
    given = _given(tmp_path, "multi-year")
    if started is None:
        assert WEIGHTS in bench.run(train, _unit("multi-year"), given)
    else:
        with pytest.raises(Refused, match="seen"):
            bench.run(train, _unit("multi-year"), given)
    assert seen == ([] if started is None else [started])

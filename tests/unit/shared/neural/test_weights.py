"""The weights file: the same bytes for the same networks, and nothing believed that was not checked."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from landseries.errors import ArtifactError
from landseries.neural.weights import METADATA_KEY, NetworkSettings, TrainedNetwork, read_weights, write_weights

_SETTINGS = NetworkSettings(features=("B04", "B08", "NDVI"), dates=6, hidden=4, layers=2, classes=(1, 5, 11))


def _network(seed: int = 0, of: NetworkSettings = _SETTINGS) -> TrainedNetwork:
    random = np.random.default_rng(seed)
    width = len(of.features)
    state = {name: random.normal(size=shape).astype(np.float32) for name, shape in of.state_shapes().items()}
    return TrainedNetwork(of, np.arange(width, dtype=np.float32), np.ones(width, np.float32), state)


def _header(of: NetworkSettings = _SETTINGS) -> dict[str, object]:
    return {"format": "landseries-lstm/1", "networks": {"all": of.model_dump(mode="json")}}


def _tensors() -> dict[str, np.ndarray]:
    return {f"all/{name}": array for name, array in _network().arrays().items()}


def _write(path: Path, tensors: dict[str, np.ndarray], header: object) -> Path:
    path.write_bytes(save(tensors, metadata={METADATA_KEY: json.dumps(header)}))
    return path


def test_networks_come_back_as_they_were(tmp_path: Path) -> None:
    networks = {"2018": _network(1), "2019": _network(2)}
    write_weights(tmp_path / "w", networks)
    found = read_weights(tmp_path / "w")
    assert found.keys() == networks.keys()
    for prefix, network in networks.items():
        assert found[prefix].settings == network.settings
        for name, array in network.arrays().items():
            np.testing.assert_array_equal(found[prefix].arrays()[name], array)


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    write_weights(tmp_path / "here", {"2019": _network(2), "2018": _network(1)})
    write_weights(tmp_path / "copy", {"2018": _network(1), "2019": _network(2)})
    script = (
        "import sys; from pathlib import Path; from landseries.neural.weights import read_weights, write_weights\n"
        "write_weights(Path(sys.argv[2]), read_weights(Path(sys.argv[1])))"
    )
    for seed in ("0", "1"):
        command = [sys.executable, "-c", script, str(tmp_path / "here"), str(tmp_path / seed)]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)})
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("here", "copy", "0", "1")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("all/head.bias"), "missing or too many"),
        (lambda t: t.update({"all/extra": np.zeros(3, np.float32)}), "missing or too many"),
        (lambda t: t.update({"all/head.bias": np.zeros(4, np.float32)}), r"shape \(4,\)"),
        (lambda t: t.update({"all/head.bias": np.zeros(3, np.float64)}), "float32"),
        (lambda t: t.update({"all/head.bias": np.full(3, np.nan, np.float32)}), "not finite"),
        (lambda t: t.update({"all/std": np.array([1, 0, 1], np.float32)}), "positive"),
    ],
)
def test_arrays_that_are_not_as_promised_are_refused(
    tmp_path: Path, spoil: Callable[[dict[str, np.ndarray]], object], message: str
) -> None:
    tensors = _tensors()
    spoil(tensors)
    with pytest.raises(ArtifactError, match=message):
        read_weights(_write(tmp_path / "w", tensors, _header()))


@pytest.mark.parametrize(
    "header",
    [
        None,
        [],
        {"format": "landseries-lstm/1", "networks": {}},
        {"format": "landseries-lstm/9", "networks": _header()["networks"]},
        {"format": "landseries-lstm/1", "networks": {"../all": _SETTINGS.model_dump(mode="json")}},
        {"format": "landseries-lstm/1", "networks": {"all": {**_SETTINGS.model_dump(mode="json"), "hidden": 1 << 40}}},
        {"format": "landseries-lstm/1", "networks": {"all": {**_SETTINGS.model_dump(mode="json"), "classes": [0, 1]}}},
        {"format": "landseries-lstm/1", "networks": {"all": {**_SETTINGS.model_dump(mode="json"), "more": 1}}},
    ],
)
def test_headers_that_make_no_sense_are_refused(tmp_path: Path, header: object) -> None:
    with pytest.raises(ArtifactError):
        read_weights(_write(tmp_path / "w", _tensors(), header))


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pickle").write_bytes(b"\x80\x04K\x01.")
    (tmp_path / "bare").write_bytes(save(_tensors()))
    (tmp_path / "nested").write_bytes(save(_tensors(), metadata={METADATA_KEY: "[" * 100_000}))
    for name in ("pickle", "bare", "nested", "missing"):
        with pytest.raises(ArtifactError, match=name):
            read_weights(tmp_path / name)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_file_is_refused_or_still_well_formed(tmp_path: Path, position: float, value: int, cut: bool) -> None:
    write_weights(tmp_path / "w", {"all": _network()})
    data = bytearray((tmp_path / "w").read_bytes())
    at = min(int(position * len(data)), len(data) - 1)
    data[at] = value
    (tmp_path / "w").write_bytes(data[:at] if cut else data)
    try:
        found = read_weights(tmp_path / "w")
    except ArtifactError:
        return
    assert not cut
    assert all(np.isfinite(a).all() for network in found.values() for a in network.arrays().values())


def test_names_that_cannot_be_prefixes_are_refused(tmp_path: Path) -> None:
    for networks in ({}, {"a/b": _network()}):
        with pytest.raises(ArtifactError):
            write_weights(tmp_path / "w", networks)
    assert not (tmp_path / "w").exists()


def test_a_network_is_used_on_what_it_was_trained_on_only() -> None:
    network = _network()
    network.check(features=("B04", "B08", "NDVI"), dates=6, classes=(1, 5, 11))
    for wrong in (
        {"features": ("B08", "B04", "NDVI"), "dates": 6},
        {"features": ("B04", "B08"), "dates": 6},
        {"features": ("B04", "B08", "NDVI"), "dates": 24},
        {"features": ("B04", "B08", "NDVI"), "dates": 6, "classes": (1, 5)},
    ):
        with pytest.raises(ArtifactError):
            network.check(**wrong)  # type: ignore[arg-type]

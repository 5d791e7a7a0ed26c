"""The file of trained networks: safetensors with one metadata key, the same bytes for the same networks.

A file holds one network or several (a single-year model has one per year), each under a prefix of its own:
`2018/lstm.weight_ih_l0`, `2018/mean`, ... What a network expects of its input and what its outputs mean travels with
it and is checked before it is used. Files are data of unknown origin: shapes, dtypes and values are checked before
anything is believed, and nothing in them is ever executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from landseries.errors import ArtifactError
from landseries.neural.normalisation import FLAG_CHANNELS, Normalisation

#: The only metadata key: safetensors writes several in a random order.
METADATA_KEY: Final = "landseries"
FORMAT: Final = "landseries-lstm/1"
#: Far above any real network: one of hidden 1024 and four layers has 130 MiB.
MAX_FILE_BYTES: Final = 1 << 31

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")

ClassId = Annotated[int, Field(ge=1, le=255)]
FeatureName = Annotated[str, Field(min_length=1, max_length=100)]


class NetworkSettings(BaseModel):
    """What a network reads and answers: checked whenever it is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    features: tuple[FeatureName, ...] = Field(min_length=1, max_length=512, description="Features, in their order")
    dates: int = Field(ge=1, le=1000, description="Dates of an annual series")
    hidden: int = Field(ge=1, le=1024, description="Hidden units of each LSTM layer")
    layers: int = Field(ge=1, le=4, description="LSTM layers")
    classes: tuple[ClassId, ...] = Field(min_length=1, max_length=255, description="Class ids, ascending; 0 is no-data")

    @field_validator("features")
    @classmethod
    def _features_differ(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(features)) != len(features):
            raise ValueError("a feature is named twice")
        return features

    @field_validator("classes")
    @classmethod
    def _classes_ascend(cls, classes: tuple[int, ...]) -> tuple[int, ...]:
        if any(a >= b for a, b in pairwise(classes)):
            raise ValueError("class ids must ascend")
        return classes

    @property
    def channels(self) -> int:
        """Input channels per date: the features and the flag of a missing date."""
        return len(self.features) + FLAG_CHANNELS

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array of the state, named as PyTorch names them."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.layers):
            width = self.channels if layer == 0 else self.hidden
            shapes[f"lstm.weight_ih_l{layer}"] = (4 * self.hidden, width)
            shapes[f"lstm.weight_hh_l{layer}"] = (4 * self.hidden, self.hidden)
            shapes[f"lstm.bias_ih_l{layer}"] = (4 * self.hidden,)
            shapes[f"lstm.bias_hh_l{layer}"] = (4 * self.hidden,)
        shapes["head.weight"] = (len(self.classes), self.hidden)
        shapes["head.bias"] = (len(self.classes),)
        return shapes


@dataclass(frozen=True)
class TrainedNetwork:
    """A network as it is stored.

    Attributes:
        settings: What it reads and answers.
        mean: (features,) float32, stored units (reflectance x 10,000).
        std: (features,) float32, positive, stored units.
        state: float32 arrays, named and shaped as `NetworkSettings.state_shapes` says.
    """

    settings: NetworkSettings
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    state: dict[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        """Raise ArtifactError where an array is missing, of another shape or dtype, or not finite."""
        _check_arrays(self.settings, self.arrays())

    @property
    def normalisation(self) -> Normalisation:
        """The statistics that its input is standardised with."""
        return Normalisation(self.mean, self.std)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The state, the mean and the standard deviation, by name."""
        return {**self.state, "mean": self.mean, "std": self.std}

    def check(self, *, features: Sequence[str], dates: int, classes: Sequence[int] | None = None) -> None:
        """Make sure that the network was trained on what it is about to read.

        Raises:
            ArtifactError: Features, their order, the number of dates or the class ids differ.
        """
        own = self.settings
        if tuple(features) != own.features:
            raise ArtifactError(
                f"the network reads the features {', '.join(own.features)} in this order, "
                f"the series have {', '.join(features)}; train it again on these series"
            )
        if dates != own.dates:
            raise ArtifactError(f"the network reads {own.dates} dates a year, the series have {dates}")
        if classes is not None and tuple(classes) != own.classes:
            raise ArtifactError(f"the network knows the classes {own.classes}, expected {tuple(classes)}")


def write_weights(path: Path, networks: Mapping[str, TrainedNetwork]) -> None:
    """Write networks, each under its prefix; the same networks give the same bytes on every machine.

    Args:
        path: Where to write; an existing file is replaced.
        networks: Prefix -> network. A prefix is made of letters, digits, `_`, `-` and `.`.

    Raises:
        ArtifactError: No network, or a prefix that cannot be written.
    """
    if not networks:
        raise ArtifactError(f"{path}: a weights file needs at least one network")
    for prefix in networks:
        if not _NAME.fullmatch(prefix):
            raise ArtifactError(f"{path}: the prefix {prefix!r} may hold letters, digits, '_', '-' and '.' only")
    tensors = {
        f"{prefix}/{name}": np.ascontiguousarray(array)
        for prefix, network in sorted(networks.items())
        for name, array in network.arrays().items()
    }
    header = {
        "format": FORMAT,
        "networks": {prefix: network.settings.model_dump(mode="json") for prefix, network in networks.items()},
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    path.write_bytes(save(tensors, metadata={METADATA_KEY: text}))


def read_weights(path: Path) -> dict[str, TrainedNetwork]:
    """Read the networks of a file, by prefix.

    Raises:
        ArtifactError: The file is missing, truncated, no weights file, or holds anything else than its header says.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ArtifactError(f"{path}: larger than {MAX_FILE_BYTES} bytes, not a weights file")
        with safe_open(path, framework="numpy") as file:
            settings = _read_header(path, file.metadata())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            dtypes = {file.get_slice(name).get_dtype() for name in shapes}
            _check_names(path, settings, shapes)
            if dtypes != {"F32"}:
                raise ArtifactError(f"{path}: arrays must be float32, found {', '.join(sorted(dtypes))}")
            arrays = {name: file.get_tensor(name) for name in shapes}
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: not a readable weights file: {error}") from error
    networks = {}
    for prefix, one in settings.items():
        own = {name.removeprefix(f"{prefix}/"): a for name, a in arrays.items() if name.startswith(f"{prefix}/")}
        try:
            networks[prefix] = TrainedNetwork(one, own.pop("mean"), own.pop("std"), own)
        except ArtifactError as error:
            raise ArtifactError(f"{path}, network {prefix!r}: {error}") from error
    return networks


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    networks: dict[str, NetworkSettings] = Field(min_length=1, max_length=1000)


def _read_header(path: Path, metadata: Mapping[str, str] | None) -> dict[str, NetworkSettings]:
    if metadata is None or set(metadata) != {METADATA_KEY}:
        raise ArtifactError(f"{path}: not a landseries weights file (metadata key {METADATA_KEY!r} expected, alone)")
    try:
        header = TypeAdapter(_Header).validate_json(metadata[METADATA_KEY])
    except ValidationError as error:
        raise ArtifactError(f"{path}: the header cannot be used: {error}") from error
    if header.format != FORMAT:
        raise ArtifactError(f"{path}: format {header.format!r}; this version reads {FORMAT!r}")
    for prefix in header.networks:
        if not _NAME.fullmatch(prefix):
            raise ArtifactError(f"{path}: the prefix {prefix!r} is not allowed")
    return header.networks


def _check_names(path: Path, settings: Mapping[str, NetworkSettings], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compare names and shapes with what the headers promise, before any array is read into memory."""
    expected = {
        f"{prefix}/{name}": shape for prefix, one in settings.items() for name, shape in _all_shapes(one).items()
    }
    if expected.keys() != shapes.keys():
        strange = sorted(expected.keys() ^ shapes.keys())
        raise ArtifactError(f"{path}: arrays missing or too many: {', '.join(map(repr, strange[:5]))}")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise ArtifactError(f"{path}: {name!r} has shape {shapes[name]}, its settings ask for {shape}")


def _all_shapes(settings: NetworkSettings) -> dict[str, tuple[int, ...]]:
    statistics = (len(settings.features),)
    return {**settings.state_shapes(), "mean": statistics, "std": statistics}


def _check_arrays(settings: NetworkSettings, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    expected = _all_shapes(settings)
    if expected.keys() != arrays.keys():
        strange = sorted(expected.keys() ^ arrays.keys())
        raise ArtifactError(f"arrays missing or too many: {', '.join(map(repr, strange[:5]))}")
    for name, array in arrays.items():
        if array.shape != expected[name] or array.dtype != np.float32:
            raise ArtifactError(
                f"{name!r} must be float32 of shape {expected[name]}, is {array.dtype} of shape {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ArtifactError(f"{name!r} holds values that are not finite")
    if not (arrays["std"] > 0).all():
        raise ArtifactError("'std' must be positive for every feature")

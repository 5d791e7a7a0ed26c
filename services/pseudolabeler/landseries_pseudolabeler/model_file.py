"""The forest's file: flat arrays in safetensors, the same bytes for the same forest, and safe to read from anyone.

Safetensors writes several metadata keys in random order, so there is exactly one, `landseries`, that holds JSON:
format name and version, the features' names in order, the class ids, the seed, and what the caller adds. Nothing of
the software that wrote the file is in it. Reading runs no code of the file and refuses one whose arrays could lead the
walk out of bounds or around in circles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from landseries.errors import ArtifactError
from landseries_pseudolabeler.forest import Forest

_KEY: Final = "landseries"
_FORMAT: Final = "landseries-forest"
_VERSION: Final = 1
_FIELDS: Final = frozenset({"format", "version", "features", "classes", "seed", "metadata"})

#: Arrays of the file, and how safetensors names their dtype.
_ARRAYS: Final = {"first_node": "I32", "feature": "U16", "threshold": "I16", "child": "I32", "shares": "F64"}


def write_forest(path: Path, forest: Forest, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a forest; equal forests and metadata give equal bytes.

    Args:
        path: File to write; one that exists is replaced.
        forest: The forest.
        metadata: What else to keep with it, of JSON's types (the training year, sample counts); `read_forest` gives it
            back.

    Raises:
        ValueError: The metadata cannot be said in JSON.
    """
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "features": list(forest.features),
        "classes": list(forest.classes),
        "seed": forest.seed,
        "metadata": dict(metadata or {}),
    }
    try:
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except TypeError as error:
        raise ValueError(f"metadata of the forest: {error}; expected what JSON can say") from error
    path.write_bytes(save({name: getattr(forest, name) for name in _ARRAYS}, {_KEY: text}))


def read_forest(path: Path) -> tuple[Forest, dict[str, Any]]:
    """Read a forest and the metadata written with it.

    Args:
        path: A file of `write_forest`.

    Raises:
        ArtifactError: The file is missing, is no forest, or holds arrays that are no sound forest.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = _header(file.metadata())
            arrays = _arrays(file)
        forest = Forest(
            features=tuple(header["features"]), classes=tuple(header["classes"]), seed=header["seed"], **arrays
        )
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as a forest: {error}") from error
    return forest, header["metadata"]


def _header(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """The file's JSON with the types of its fields checked."""
    if metadata is None or set(metadata) != {_KEY}:
        raise ValueError(f"expected the one metadata key {_KEY!r}, found {sorted(metadata or ())}")
    try:
        header = json.loads(metadata[_KEY])
    except RecursionError as error:
        raise ValueError("metadata: nested too deeply") from error
    if not isinstance(header, dict) or set(header) != _FIELDS:
        raise ValueError(f"metadata: expected an object with the fields {', '.join(sorted(_FIELDS))}")
    if header["format"] != _FORMAT or header["version"] != _VERSION:
        found = f"{header['format']!r} version {header['version']!r}"
        raise ValueError(f"format {found}; expected {_FORMAT!r} version {_VERSION}")
    if not isinstance(header["features"], list) or not isinstance(header["classes"], list):
        raise ValueError("metadata: features and classes: expected lists")
    if not isinstance(header["metadata"], dict):
        raise ValueError("metadata: metadata: expected an object")
    return header


def _arrays(file: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays by name; dtypes are looked at first, because NumPy lacks some that a file may name."""
    if set(file.keys()) != set(_ARRAYS):
        raise ValueError(f"arrays {', '.join(sorted(file.keys()))}; expected {', '.join(sorted(_ARRAYS))}")
    for name, dtype in _ARRAYS.items():
        found = file.get_slice(name).get_dtype()
        if found != dtype:
            raise ValueError(f"{name}: dtype {found}; expected {dtype}")
    return {name: file.get_tensor(name) for name in _ARRAYS}

"""What the three stages hand each other: part tables of a tile, and the distributions of the region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from landseries.artifacts.documents import read_json, write_json
from landseries.artifacts.tables import read_columns, write_table
from landseries.bands import REFLECTANCE_SCALE
from landseries.errors import ArtifactError
from landseries_clusterer.distributions import QUANTILES, Distributions
from landseries_clusterer.representatives import Representatives, TileParts

#: Outputs of `cluster`.
PARTS: Final = "parts.parquet"
SPEAKERS: Final = "speakers.parquet"
DOMINANT: Final = "dominant.tif"
SUMMARY: Final = "summary.json"
#: Outputs of `classes`.
CLASSES: Final = "classes.json"
GAUSSIANS: Final = "gaussians.parquet"

_STORED: Final = np.iinfo(np.int16)


@dataclass(frozen=True)
class Recipe:
    """How the pixels of a tile were described and clustered; the same in all tiles of a run.

    Attributes:
        method: Setting `clusterer.cluster.method`.
        description_length: Setting `clusterer.cluster.description_length`.
        names: Names of the values of a vector.
    """

    method: str
    description_length: int
    names: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The recipe as a JSON object, the inverse of `from_json`."""
        return {"method": self.method, "description_length": self.description_length, "names": list(self.names)}

    @classmethod
    def from_json(cls, content: Any, file: str) -> Recipe:
        """Read a recipe.

        Raises:
            ArtifactError: a field is missing.
        """
        try:
            return cls(str(content["method"]), int(content["description_length"]), tuple(content["names"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{file}: holds no recipe of a clustering: {error}") from error


def write_parts(
    parts_path: Path, speakers_path: Path, parts: TileParts, part_of: NDArray[np.int32], values: NDArray[np.float32]
) -> None:
    """Write a tile's parts, and the vectors of those pixels that speak for them as int16 x 10,000.

    Args:
        parts_path, speakers_path: Files to write.
        parts: The parts.
        part_of: (pixel,) int32 part numbers from 1.
        values: (value, pixel) float32 vectors.
    """
    write_table(
        parts_path,
        {
            "part": np.arange(1, len(parts.classes) + 1, dtype=np.int32),
            "class": parts.classes,
            "pixels": parts.pixels,
            "dominant": parts.dominant,
            "priority": parts.priority,
            "mean": parts.mean,
        },
    )
    vectors = np.clip(np.rint(values[:, parts.speakers].T * REFLECTANCE_SCALE), _STORED.min, _STORED.max)
    write_table(speakers_path, {"part": part_of[parts.speakers], "values": vectors.astype(np.int16)})


def read_parts(path: Path) -> dict[str, NDArray[Any]]:
    """The columns part, class, dominant and priority of a tile's parts."""
    return read_columns(path, "part", "class", "dominant", "priority")


class PartSelection:
    """Chooses which parts describe a class over all tiles: those of smallest priority, however many tiles there are.

    Args:
        max_parts_per_class: Parts of a class at most.
    """

    def __init__(self, max_parts_per_class: int) -> None:
        self._limit = max_parts_per_class
        self._table = np.zeros(0, dtype=[("class", "u1"), ("priority", "u8"), ("tile", "i8"), ("part", "i4")])
        self.seen: dict[int, int] = {}

    def add(self, tile: int, parts: dict[str, NDArray[Any]]) -> None:
        """Offer the parts of a tile that have a dominant cluster."""
        good = parts["dominant"] > 0
        added = np.zeros(int(good.sum()), self._table.dtype)
        for name in ("class", "priority", "part"):
            added[name] = parts[name][good]
        added["tile"] = tile
        for cover, count in zip(*np.unique(added["class"], return_counts=True), strict=True):
            self.seen[int(cover)] = self.seen.get(int(cover), 0) + int(count)
        both = np.sort(np.concatenate([self._table, added]), order=["class", "priority", "tile", "part"])
        place = np.arange(len(both)) - np.searchsorted(both["class"], both["class"])
        self._table = both[place < self._limit]

    def of_tile(self, tile: int) -> NDArray[np.int32]:
        """Chosen parts of a tile, ascending."""
        return np.asarray(np.sort(self._table["part"][self._table["tile"] == tile]), dtype=np.int32)


def gather_speakers(
    tables: Iterable[tuple[Path, NDArray[np.int32], NDArray[np.uint8]]], per_class: int
) -> Representatives:
    """Read the pixels that speak for chosen parts.

    Args:
        tables: Per tile its file of speakers, the chosen parts, and the class of every part of the tile.
        per_class: Pixels of a class at most, about; beyond that every part has fewer speakers.
    """
    numbers: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    labels: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)]
    vectors: list[NDArray[np.int16]] = []
    first = 0
    for path, chosen, classes in tables:
        columns = read_columns(path, "part", "values")
        mine = np.isin(columns["part"], chosen)
        part = columns["part"][mine]
        numbers.append(first + np.searchsorted(chosen, part))
        labels.append(classes[part - 1])
        vectors.append(columns["values"][mine])
        first += len(chosen)
    part, label = np.concatenate(numbers), np.concatenate(labels)
    kept = _thinned(part, label, per_class)
    stored = np.concatenate(vectors)[kept] if vectors else np.empty((0, 0), np.int16)
    return Representatives(part[kept], label[kept], stored.astype(np.float32) / np.float32(REFLECTANCE_SCALE))


def write_distributions(
    document: Path, table: Path, recipe: Recipe, found: Distributions | None, parts: dict[str, int]
) -> None:
    """Write the distributions of the region.

    Args:
        document: JSON file: the recipe, per class the number of its parts, and the limits of its representatives.
        table: Parquet file: one row per Gaussian.
        recipe: How pixels are described.
        found: The distributions; None where the method has none.
        parts: Number of parts with a dominant cluster, by class name.
    """
    content: dict[str, Any] = {"recipe": recipe.as_json(), "parts": parts, "classes": []}
    length = len(recipe.names)
    columns: dict[str, NDArray[Any]] = {
        "class": np.empty(0, np.int32),
        "log_weight": np.empty(0, np.float32),
        "mean": np.empty((0, length), np.float32),
        "whitening": np.empty((0, length * length), np.float32),
    }
    if found is not None:
        content["centre"] = _numbers(found.centre)
        content["scale"] = _numbers(found.scale)
        content["classes"] = [
            {"id": int(cover), "likeness": _numbers(found.likeness[row]), "distance": _numbers(found.distance[row])}
            for row, cover in enumerate(found.classes)
        ]
        columns = {
            "class": found.mode_class,
            "log_weight": found.log_weight,
            "mean": found.mean,
            "whitening": found.whitening.reshape(len(found.mean), -1),
        }
    write_json(document, content)
    write_table(table, columns)


def read_distributions(document: Path, table: Path) -> tuple[Recipe, Distributions | None]:
    """Read the distributions of the region; None where the method has none.

    Raises:
        ArtifactError: The files do not hold what `write_distributions` writes.
    """
    content = read_json(document)
    recipe = Recipe.from_json(content.get("recipe"), document.name)
    if not content["classes"]:
        return recipe, None
    columns = read_columns(table, "class", "log_weight", "mean", "whitening")
    length = len(recipe.names)
    if columns["mean"].shape[1] != length or columns["whitening"].shape[1] != length * length:
        raise ArtifactError(f"{table.name}: its vectors are not of the {length} values that {document.name} names")
    return recipe, Distributions(
        names=recipe.names,
        centre=np.array(content["centre"], np.float32),
        scale=np.array(content["scale"], np.float32),
        classes=np.array([entry["id"] for entry in content["classes"]], np.uint8),
        mode_class=columns["class"],
        log_weight=columns["log_weight"],
        mean=columns["mean"],
        whitening=columns["whitening"].reshape(-1, length, length),
        likeness=_limits(content["classes"], "likeness"),
        distance=_limits(content["classes"], "distance"),
    )


def _thinned(part: NDArray[np.int64], label: NDArray[np.uint8], per_class: int) -> NDArray[np.bool_]:
    """Which speakers stay: the first ones of each part, as many as fit the limit of their class."""
    start = np.searchsorted(part, part)
    rank = np.arange(len(part)) - start
    kept = np.ones(len(part), bool)
    for cover in np.unique(label):
        mine = label == cover
        most = int(rank[mine].max()) + 1
        while most > 1 and int((mine & (rank < most)).sum()) > per_class:
            most -= 1
        kept &= ~mine | (rank < most)
    return kept


def _limits(classes: Sequence[dict[str, Any]], name: str) -> NDArray[np.float32]:
    limits = np.array([entry[name] for entry in classes], np.float32)
    if limits.shape != (len(classes), QUANTILES):
        raise ArtifactError(f"{CLASSES}: {name} has {limits.shape[1:]} quantiles where {QUANTILES} belong")
    return limits


def _numbers(values: NDArray[np.float32]) -> list[float]:
    # Shortest decimal that reads back as the same float32.
    return [float(str(value)) for value in values.astype(np.float32)]

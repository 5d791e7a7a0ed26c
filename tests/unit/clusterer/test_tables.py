"""What the stages hand each other: the selection of parts does not depend on tiles, and files come back as written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries.artifacts.documents import write_json
from landseries.artifacts.tables import write_table
from landseries.errors import ArtifactError
from landseries_clusterer.distributions import fit
from landseries_clusterer.representatives import Representatives
from landseries_clusterer.tables import (
    PartSelection,
    Recipe,
    gather_speakers,
    read_distributions,
    write_distributions,
)

RECIPE = Recipe("polygons", 48, ("a-1", "a-2", "b-1", "b-2"))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(10, 40), st.integers(0, 2**32), st.integers(1, 5))
def test_the_same_parts_are_chosen_however_they_come(parts: int, limit: int, seed: int, tiles: int) -> None:
    random = np.random.default_rng(seed)
    table: dict[str, npt.NDArray[Any]] = {
        "part": np.arange(1, parts + 1, dtype=np.int32),
        "class": random.integers(1, 4, parts).astype(np.uint8),
        "dominant": random.integers(0, 3, parts).astype(np.int32),
        "priority": random.permutation(parts).astype(np.uint64),
    }
    selection = PartSelection(limit)
    for tile, rows in enumerate(np.array_split(np.arange(parts), tiles)):
        selection.add(tile, {name: column[rows] for name, column in table.items()})
    chosen = np.concatenate([selection.of_tile(tile) for tile in range(tiles)])
    for cover in (1, 2, 3):
        mine = np.flatnonzero((table["class"] == cover) & (table["dominant"] > 0))
        best = mine[np.argsort(table["priority"][mine])][:limit] + 1
        assert set(chosen[table["class"][chosen - 1] == cover]) == set(best)
        assert selection.seen.get(cover, 0) == len(mine)


def test_only_chosen_parts_speak_and_each_less_where_there_are_too_many(tmp_path: Path) -> None:
    part = np.repeat(np.array([1, 2, 4], np.int32), [10, 20, 6])
    values = np.arange(72, dtype=np.int16).reshape(36, 2)
    for name in ("one", "two"):
        write_table(tmp_path / name, {"part": part, "values": values})
    classes = np.array([1, 1, 2, 2], np.uint8)
    chosen = np.array([2, 4], np.int32)
    tables = [(tmp_path / "one", chosen, classes), (tmp_path / "two", np.array([1], np.int32), classes)]
    found = gather_speakers(tables, 1000)
    assert found.part.tolist() == [0] * 20 + [1] * 6 + [2] * 10
    assert found.classes.tolist() == [1] * 20 + [2] * 6 + [1] * 10
    assert np.allclose(found.values[:20], values[10:30] / 1e4)
    fewer = gather_speakers(tables, 12)
    assert np.bincount(fewer.part).tolist() == [6, 6, 6]
    assert np.allclose(fewer.values[:6], values[10:16] / 1e4)


def test_distributions_come_back_to_the_bit(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    part = np.repeat(np.arange(20), 10)
    classes = (part % 2 * 4 + 1).astype(np.uint8)
    values = (random.normal(0, 0.1, (200, 4)) + classes[:, None] / 10).astype(np.float32)
    written = fit(RECIPE.names, Representatives(part, classes, values))
    paths = tmp_path / "classes.json", tmp_path / "gaussians.parquet"
    write_distributions(*paths, RECIPE, written, {"Grass": 10, "Crops": 10})
    recipe, read = read_distributions(*paths)
    assert recipe == RECIPE
    assert read is not None
    assert read.names == written.names
    for name in vars(written):
        if name != "names":
            assert getattr(read, name).tobytes() == getattr(written, name).tobytes(), name
            assert getattr(read, name).dtype == getattr(written, name).dtype
            assert getattr(read, name).shape == getattr(written, name).shape


def test_a_method_without_distributions_has_none(tmp_path: Path) -> None:
    paths = tmp_path / "classes.json", tmp_path / "gaussians.parquet"
    write_distributions(*paths, Recipe("cluster-then-associate", 48, ("a",)), None, {})
    recipe, read = read_distributions(*paths)
    assert read is None
    assert recipe.method == "cluster-then-associate"


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "classes.json", {"classes": []})
    with pytest.raises(ArtifactError, match="holds no recipe"):
        read_distributions(tmp_path / "classes.json", tmp_path / "none.parquet")
    with pytest.raises(ArtifactError, match="holds no recipe"):
        Recipe.from_json(None, "summary.json")

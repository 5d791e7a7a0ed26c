"""The three stages: read artifacts, hand arrays to the modules that know the science, write artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries.artifacts.documents import read_json, write_json
from landseries.artifacts.rasters import read_raster, write_cog
from landseries.artifacts.series import reading_series
from landseries.artifacts.tables import read_columns
from landseries.errors import Refused
from landseries.pipeline import COUNTS, INDICES
from landseries.priority import pixel_priority
from landseries.service import Context, Empty, Input
from landseries.settings.clusterer import ClassesSettings, ClusterSettings, ReliableSettings
from landseries_clusterer.association import associate
from landseries_clusterer.description import Description, describe
from landseries_clusterer.distributions import Distributions, fit, judge
from landseries_clusterer.parts import polygon_parts
from landseries_clusterer.representatives import TileParts, dominant_clusters
from landseries_clusterer.samples import write_samples
from landseries_clusterer.tables import (
    CLASSES,
    DOMINANT,
    GAUSSIANS,
    PARTS,
    SPEAKERS,
    SUMMARY,
    PartSelection,
    Recipe,
    gather_speakers,
    read_distributions,
    read_parts,
    write_distributions,
    write_parts,
)
from landseries_clusterer.verdicts import NO_SCORE, Verdict, Verdicts, give_verdicts, verdicts_of_association

_ASSOCIATION: Final = "cluster-then-associate"
#: Representatives of a class that the fit looks at; more do not change it.
_REPRESENTATIVES_PER_CLASS: Final = 16_384


def cluster(context: Context) -> None:
    """First step for a tile.

    Outputs: `parts.parquet`, a row per polygon part (number, class, pixels, pixels of the dominant cluster, priority,
    mean vector of the dominant cluster); `speakers.parquet`, vectors of pixels that speak for their part;
    `dominant.tif`, int32: the part's number in its dominant cluster, and on all its usable pixels, 0 elsewhere;
    `summary.json`.

    Raises:
        Empty: the map has no class in this tile.
        Refused: the features allow no spectral index.
    """
    settings = context.settings(ClusterSettings)
    classes = _map_classes(context)
    if not classes.any():
        raise Empty("the existing map has no class of the legend here")
    index = context.input("index")
    with context.local(index, COUNTS) as path:
        views = read_raster(path, context.tile)[0]
    pixels = _described(context, index, settings.description_length)
    usable = pixels.seen & (views.ravel() >= settings.min_clear_views) & (classes > 0)
    part_of, parts = _step_one(context, settings, pixels.values, usable, classes)
    write_parts(context.output(PARTS), context.output(SPEAKERS), parts, part_of, pixels.values)
    bands = np.stack([np.where(parts.in_dominant, part_of, 0), np.where(usable, part_of, 0)])
    write_cog(
        context.output(DOMINANT),
        bands.astype(np.int32).reshape(2, *context.tile.shape),
        context.tile,
        names=("dominant", "part"),
        nodata=0,
    )
    recipe = Recipe(settings.method, settings.description_length, pixels.names)
    counts = {
        "parts": len(parts.classes),
        "parts_with_dominant_cluster": int((parts.dominant > 0).sum()),
        "mapped_pixels": int((classes > 0).sum()),
        "usable_pixels": int(usable.sum()),
        "dominant_pixels": int(parts.in_dominant.sum()),
    }
    write_json(context.output(SUMMARY), {"recipe": recipe.as_json(), **counts})


def classes(context: Context) -> None:
    """Each class's distribution over all tiles: `classes.json` and `gaussians.parquet`.

    Raises:
        Refused: no polygon part of any tile has a dominant cluster.
    """
    settings = context.settings(ClassesSettings)
    tiles = [tile for tile in context.inputs("cluster") if tile.done]
    if not tiles:
        raise Refused("no tile has polygon parts, so that no class can be described; see the reasons of stage cluster")
    with context.local(tiles[0], SUMMARY) as path:
        recipe = Recipe.from_json(read_json(path).get("recipe"), path.name)
    selection = PartSelection(settings.max_parts_per_class)
    for number, tile in enumerate(tiles):
        with context.local(tile, PARTS) as path:
            selection.add(number, read_parts(path))
    found = None if recipe.method == _ASSOCIATION else _fit(context, tiles, selection, recipe)
    names = {context.legend.name_of(cover): count for cover, count in sorted(selection.seen.items())}
    write_distributions(context.output(CLASSES), context.output(GAUSSIANS), recipe, found, names)


def reliable(context: Context) -> None:
    """Second step for a tile: `verdicts.tif` (class of the map, verdict, score) and `samples.parquet`."""
    settings = context.settings(ReliableSettings)
    region = context.input("classes")
    with context.local(region, CLASSES) as document, context.local(region, GAUSSIANS) as table:
        recipe, found = read_distributions(document, table)
    mapped = _map_classes(context)
    tile_parts = context.input("cluster")
    with context.local(tile_parts, DOMINANT) as path:
        dominant, part_of = (band.ravel() for band in read_raster(path, context.tile))
    index = context.input("index")
    if found is None:
        with context.local(tile_parts, PARTS) as path:
            cluster_class = read_columns(path, "class")["class"]
        verdicts = verdicts_of_association(mapped, part_of, dominant > 0, cluster_class)
    else:
        pixels = _described(context, index, recipe.description_length)
        verdicts = _step_two(found, pixels.values, mapped, part_of, dominant > 0, settings.keep_share)
    bands = np.stack([mapped, verdicts.verdict, verdicts.score]).reshape(3, *context.tile.shape)
    names = ("class", "verdict", "score")
    tags = {
        "VERDICTS": ", ".join(f"{verdict.value} {verdict.name.lower()}" for verdict in Verdict),
        "SCORE": f"0..200, {NO_SCORE} none",
    }
    write_cog(context.output("verdicts.tif"), bands.astype(np.uint8), context.tile, names=names, nodata=None, tags=tags)
    write_samples(context, index, mapped, verdicts, settings.samples_per_class)


def _map_classes(context: Context) -> NDArray[np.uint8]:
    """(pixel,) uint8 class ids of the existing map, 0 none."""
    with context.local(context.input("reference"), "classes.tif") as path:
        return np.ascontiguousarray(read_raster(path, context.tile)[0].ravel(), dtype=np.uint8)


def _described(context: Context, index: Input, length: int) -> Description:
    if INDICES not in index.marker.outputs:
        raise Refused(
            f"no spectral index can be computed from the features {', '.join(context.features)}: "
            "read at least the bands B04 and B08, or an index such as NDVI"
        )
    with context.local(index, INDICES) as path, reading_series(path) as series:
        return describe(series, length)


def _step_one(
    context: Context,
    settings: ClusterSettings,
    values: NDArray[np.float32],
    usable: NDArray[np.bool_],
    classes: NDArray[np.uint8],
) -> tuple[NDArray[np.int32], TileParts]:
    """Part numbers of pixels, and the parts, by the method of the settings."""
    priority = pixel_priority(context.tile, context.seed, "cluster").ravel()
    if settings.method == _ASSOCIATION:
        return associate(
            values,
            usable,
            classes,
            priority,
            clusters=settings.tile_clusters,
            min_overlap=settings.min_overlap,
        )
    part_of = polygon_parts(classes.reshape(context.tile.shape), context.tile, settings.cell_px).ravel()
    return part_of, dominant_clusters(
        values,
        usable,
        part_of,
        classes,
        priority,
        clusters=settings.clusters,
        min_part_px=settings.min_part_px,
        merge_distance=settings.merge_distance,
    )


def _fit(context: Context, tiles: list[Input], selection: PartSelection, recipe: Recipe) -> Distributions:
    """The distributions from the speakers of the chosen parts, one tile's tables in memory at a time."""
    if not selection.seen:
        raise Refused(
            "no polygon part has enough pixels with clear views to be described: lower clusterer.cluster.min_part_px "
            "or clusterer.cluster.min_clear_views, or choose more acquisitions for the training year"
        )

    def tables() -> Iterator[tuple[Path, NDArray[np.int32], NDArray[np.uint8]]]:
        for number, tile in enumerate(tiles):
            chosen = selection.of_tile(number)
            if len(chosen):
                with context.local(tile, PARTS) as parts, context.local(tile, SPEAKERS) as speakers:
                    yield speakers, chosen, read_columns(parts, "class")["class"]

    return fit(recipe.names, gather_speakers(tables(), _REPRESENTATIVES_PER_CLASS))


def _step_two(
    found: Distributions,
    values: NDArray[np.float32],
    classes: NDArray[np.uint8],
    part_of: NDArray[np.int32],
    in_dominant: NDArray[np.bool_],
    keep_share: float,
) -> Verdicts:
    return give_verdicts(classes, part_of, in_dominant, judge(found, values, classes), found, keep_share)

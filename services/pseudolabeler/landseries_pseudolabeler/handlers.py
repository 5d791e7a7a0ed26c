"""The stages forest and pseudolabel: from reliable samples to a forest, and from a tile's series to labels."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from landseries.artifacts.documents import write_json
from landseries.artifacts.rasters import read_raster, write_cog
from landseries.artifacts.series import SeriesReader, reading_series
from landseries.bands import NODATA
from landseries.errors import ArtifactError, Refused
from landseries.legend import NO_CLASS
from landseries.pipeline import COUNTS, SERIES
from landseries.service import Context
from landseries.settings.pseudolabeler import ForestSettings, PseudolabelSettings
from landseries_pseudolabeler.forest import Forest, fit_forest
from landseries_pseudolabeler.missing import checked_typical, fill_missing, typical_values, with_hidden_copies
from landseries_pseudolabeler.model_file import read_forest, write_forest
from landseries_pseudolabeler.reliable import gather_reliable
from landseries_pseudolabeler.walk import predict

#: Probabilities are stored in steps of 1/200.
PROBABILITY_STEPS: Final = 200


def forest(context: Context) -> None:
    """Grow the region's forest on the reliable samples of the training blocks, over all tiles.

    Writes `forest.safetensors` and `summary.json` (samples per class, trees, nodes).

    Raises:
        Refused: fewer than two classes have reliable samples.
    """
    settings = context.settings(ForestSettings)
    samples = gather_reliable(context, settings.samples_per_class)
    present = np.unique(samples.labels)
    if present.size < 2:
        raise Refused(
            f"reliable samples of {present.size} class(es) only; the forest needs two: look at the existing map, the "
            "legend's codes and the clear views of the training year"
        )
    names = [f"{feature}@{date:02d}" for date in range(samples.dates) for feature in context.features]
    context.log(f"growing {settings.trees} trees on {samples.labels.size} samples of {present.size} classes")
    typical = typical_values(samples.series, samples.labels)
    series, labels = with_hidden_copies(
        samples.series, samples.labels, dates=samples.dates, copies=settings.hidden_copies, seed=context.seed
    )
    grown = fit_forest(
        fill_missing(series, typical),
        labels,
        feature_names=names,
        trees=settings.trees,
        seed=context.seed,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples_leaf,
        class_balance=settings.class_balance,
        threads=context.threads,
    )
    write_forest(context.output("forest.safetensors"), grown, {"typical": typical.tolist()})
    counts = {context.legend.name_of(int(c)): int((samples.labels == c).sum()) for c in present}
    write_json(
        context.output("summary.json"),
        {"samples_per_class": counts, "trees": grown.trees, "nodes": int(grown.feature.size)},
    )


def pseudolabel(context: Context) -> None:
    """Label a tile's year with the region's forest.

    Writes `labels.tif`, uint8 bands label (class id, 0 where there are too few clear views) and probability of the
    label in steps of 1/200.
    """
    settings = context.settings(PseudolabelSettings)
    tile = context.tile
    with context.local(context.input("forest"), "forest.safetensors") as path:
        grown, kept = read_forest(path)
        typical = checked_typical(kept, len(grown.features))
    index = context.input("index")
    with context.local(index, COUNTS) as path:
        enough = read_raster(path, tile)[0] >= settings.min_clear_views
    labels = np.zeros((2, *tile.shape), dtype=np.uint8)
    with context.local(index, SERIES) as path, reading_series(path) as series:
        _check_features(grown, series, context.features)
        for first, values in series.blocks():
            usable = enough[first : first + values.shape[2]] & (values != NODATA).any(axis=(0, 1))
            found = _label_block(grown, typical, values, usable, context.threads)
            labels[:, first : first + values.shape[2]] = found
    write_cog(context.output("labels.tif"), labels, tile, names=("label", "probability"), nodata=NO_CLASS)


def _label_block(
    grown: Forest, typical: NDArray[np.int16], values: NDArray[np.int16], usable: NDArray[np.bool_], threads: int
) -> NDArray[np.uint8]:
    """Label and probability (2, rows, columns) of a block of rows; 0 where not usable."""
    found = np.zeros((2, *usable.shape), dtype=np.uint8)
    # (date, feature, pixel) -> (date * feature, pixel): date-major, as the samples are.
    pixels = values[:, :, usable].reshape(values.shape[0] * values.shape[1], -1) if usable.any() else None
    if pixels is not None:
        filled = np.where(pixels == NODATA, typical[:, np.newaxis], pixels)
        labels = predict(grown, filled, threads=threads)
        found[0][usable] = labels.label
        found[1][usable] = np.rint(labels.probability * PROBABILITY_STEPS).astype(np.uint8)
    return found


def _check_features(grown: Forest, series: SeriesReader, features: tuple[str, ...]) -> None:
    expected = tuple(f"{feature}@{date:02d}" for date in range(len(series.days)) for feature in series.features)
    if series.features != features or grown.features != expected:
        raise ArtifactError(
            f"the forest was grown on {len(grown.features)} features beginning with {grown.features[:2]}, the series "
            f"has {len(expected)} beginning with {expected[:2]}: they do not belong together"
        )

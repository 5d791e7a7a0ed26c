"""The layers of the report's map viewer: composites, the existing map, every model's maps, and the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError

from landseries.grid import Raster
from landseries.service import Context
from landseries_assessor import layout
from landseries_assessor.counting import number_of_changes
from landseries_assessor.mosaic import NO_VALUE
from landseries_assessor.pictures import Canvas, Pixels, canvas_of, palette_png, photo_webp, ramp_webp
from landseries_assessor.results import ResultFile, Results
from landseries_assessor.styles import CONFIDENCE_RAMP

#: Clear views of a year and their colour.
VIEWS_RAMP: Final = (
    (0, (68, 27, 84)),
    (5, (59, 82, 139)),
    (10, (33, 145, 140)),
    (15, (94, 201, 98)),
    (20, (253, 231, 37)),
)
#: Year of layers that do not depend on the year.
ALL_YEARS: Final = "all"


@dataclass
class Layer:
    """A layer of the viewer: pictures by year, or one under `all`.

    Attributes:
        id, label: for the page and for people.
        kind: photo, class, changes or quantity.
    """

    id: str
    label: str
    kind: str
    images: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {"id": self.id, "label": self.label, "kind": self.kind, "images": self.images}


@dataclass(frozen=True)
class Pictures:
    """All pictures of a report, on one canvas."""

    grid: Raster
    layers: list[Layer]

    def changes(self) -> list[Layer]:
        """The layers that show numbers of changes."""
        return [layer for layer in self.layers if layer.kind == "changes"]


def draw_pictures(context: Context, results: Results, longer_side_px: int) -> Pictures | None:
    """Draw every layer that has anything to show; None where no map was made."""
    if not results.models:
        return None
    painter = _Painter(context, results, canvas_of(list(results.granules.values()), longer_side_px))
    layers = [painter.composites(), painter.reference()]
    layers += [painter.classes(model) for model in results.models]
    layers += painter.truth()
    layers += [painter.changes(model) for model in results.models]
    for layer, label, ramp, nodata in (
        ("confidence", "Confidence", [(percent * 2, rgb) for percent, rgb in CONFIDENCE_RAMP], NO_VALUE),
        ("clear_views", "Clear views", VIEWS_RAMP, NO_VALUE),
    ):
        models = results.models if layer == "confidence" else results.models[:1]
        layers += [painter.quantity(layer, label, model, ramp, nodata) for model in models]
    return Pictures(painter.grid, [layer for layer in layers if layer.images])


class _Painter:
    def __init__(self, context: Context, results: Results, grid: Raster) -> None:
        self.grid = grid
        self._context = context
        self._results = results
        self._colours = {entry.id: entry.rgb for entry in context.legend.classes}
        numbers = range(len(context.years))
        self._change_colours = {number: layout.changes_colour(number) for number in numbers}

    def composites(self) -> Layer:
        layer = Layer("composite", "True colour", "photo")
        for year in self._results.years:
            self._add(layer, year, self._results.composites(year), 3, 0, Resampling.average, photo_webp)
        return layer

    def classes(self, model: str) -> Layer:
        layer = Layer(f"class/{model}", f"Map, {model}", "class")
        for year in self._results.years:
            self._add(layer, year, self._results.maps(model, year, "class"), 1, 0, Resampling.nearest, self._as_classes)
        return layer

    def changes(self, model: str) -> Layer:
        layer = Layer(f"changes/{model}", f"Number of changes, {model}", "changes")
        files = self._results.changes(model)
        self._add(layer, ALL_YEARS, files, 1, NO_VALUE, Resampling.nearest, self._as_changes)
        return layer

    def quantity(
        self, name: str, label: str, model: str, ramp: Sequence[tuple[float, tuple[int, int, int]]], nodata: int
    ) -> Layer:
        layer = Layer(f"{name}/{model}", label if name == "clear_views" else f"{label}, {model}", "quantity")
        for year in self._results.years:
            files = self._results.maps(model, year, name)
            self._add(layer, year, files, 1, nodata, Resampling.average, lambda p: ramp_webp(p[0], ramp, nodata))
        return layer

    def reference(self) -> Layer:
        """The existing map, from the tiles themselves."""
        layer = Layer("reference", f"Existing map ({self._context.reference_year})", "class")
        canvas = Canvas(self.grid, 1, 0)
        for item in self._context.inputs("reference"):
            if item.done:
                with self._context.local(item, "classes.tif") as path:
                    canvas.paint(path, Resampling.nearest)
        if not canvas.empty:
            layer.images[ALL_YEARS] = self._as_classes(canvas.pixels)
        return layer

    def truth(self) -> list[Layer]:
        """True maps and their number of changes; left out where they cannot be read, which compare has reported."""
        pattern = self._context.outside.truth_path
        if pattern is None:
            return []
        classes = Layer("class/truth", "Truth", "class")
        seen: list[Pixels] = []
        for year in self._results.years:
            canvas = Canvas(self.grid, 1, 0)
            try:
                canvas.paint(pattern.format(year=year), Resampling.nearest)
            except RasterioIOError:
                continue
            if not canvas.empty:
                classes.images[str(year)] = self._as_classes(canvas.pixels)
                seen.append(canvas.pixels[0])
        changes = Layer("changes/truth", "Number of changes, truth", "changes")
        if len(seen) > 1:
            number, known = number_of_changes(seen)
            number[~known] = NO_VALUE
            changes.images[ALL_YEARS] = self._as_changes(number[None])
        return [classes, changes]

    def _as_classes(self, pixels: Pixels) -> str:
        return palette_png(pixels[0], self._colours)

    def _as_changes(self, pixels: Pixels) -> str:
        return palette_png(pixels[0], self._change_colours)

    def _add(
        self,
        layer: Layer,
        year: int | str,
        files: Iterable[ResultFile],
        bands: int,
        nodata: int,
        resampling: Resampling,
        encode: Callable[[Pixels], str],
    ) -> None:
        canvas = Canvas(self.grid, bands, nodata)
        for file in files:
            with self._context.local(file.source, file.name) as path:
                canvas.paint(path, resampling)
        if not canvas.empty:
            layer.images[str(year)] = encode(canvas.pixels)

"""The small tables between the tiles and the region: what each tile could give, and what the region takes.

A tile's `strata.json` counts its candidates by stratum, part and class, each with a histogram of the pixel priorities
(counts from the first bin that holds one to the last). The region's `quotas.json` adds them up: candidates, pixels to
take, and the last bin of priorities that the taken ones lie in. Both carry what the region's summary tells of tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from landseries.artifacts.documents import canonical_json, read_json, write_json
from landseries.errors import ArtifactError
from landseries.grid import Part
from landseries_sampler.histograms import BINS, histogram_of, last_bin
from landseries_sampler.quotas import equal_quotas
from landseries_sampler.strata import CLASSES, GROUPS, SAMPLED_PARTS, Drawn, group_of

STRATA_FILE: Final = "strata.json"
QUOTAS_FILE: Final = "quotas.json"


class Group(NamedTuple):
    """Pixels that are drawn together: of one stratum, part and class."""

    stratum: str
    part: Part
    class_id: int


@dataclass(frozen=True)
class TileTally:
    """What a tile could give.

    Attributes:
        crs: the tile's coordinate reference system.
        years: years that the tile has pseudo-labels of.
        pixels: pixels of the area in training, validation and prediction blocks, by name of the part.
        histograms: of the candidates of each group that has some, (`BINS`,) counts of priorities.
    """

    crs: str
    years: tuple[int, ...]
    pixels: Mapping[str, int]
    histograms: Mapping[Group, npt.NDArray[np.int64]]

    def write(self, path: Path) -> None:
        """Write it as a compact document."""
        strata: dict[str, dict[str, dict[str, Any]]] = {}
        for (stratum, part, class_id), histogram in self.histograms.items():
            (filled,) = np.nonzero(histogram)
            counts = {"first": int(filled[0]), "counts": histogram[filled[0] : filled[-1] + 1].tolist()}
            strata.setdefault(stratum, {}).setdefault(name_of(part), {})[str(class_id)] = counts
        content = {"crs": self.crs, "years": list(self.years), "pixels": dict(self.pixels), "strata": strata}
        path.write_bytes(canonical_json(content))


@dataclass(frozen=True)
class GroupQuota:
    """What the region takes of a group.

    Attributes:
        available: candidates over all tiles.
        quota: pixels to take.
        last_bin: last bin of priorities that they lie in; -1 where none is taken.
    """

    available: int
    quota: int
    last_bin: int


@dataclass(frozen=True)
class RegionQuotas:
    """What the region takes, and what its summary tells of its tiles.

    Attributes:
        crs: coordinate reference systems of the tiles, sorted; samples name them by number.
        years: years that at least one tile has pseudo-labels of, ascending.
        pixels: as of a tile.
        groups: of each group that has candidates.
    """

    crs: tuple[str, ...]
    years: tuple[int, ...]
    pixels: Mapping[str, int]
    groups: Mapping[Group, GroupQuota]

    def available(self, stratum: str, part: Part) -> dict[int, int]:
        """Candidates by class in ascending order."""
        return {g.class_id: q.available for g, q in sorted(self.groups.items()) if g[:2] == (stratum, part)}

    def quotas(self, stratum: str) -> npt.NDArray[np.int64]:
        """Pixels to take, by `landseries_sampler.strata.group_of`."""
        return _by_group({g: quota.quota for g, quota in self.groups.items() if g.stratum == stratum}, 0)

    def last_bins(self, stratum: str) -> npt.NDArray[np.int64]:
        """Last bin of priorities to take, by `landseries_sampler.strata.group_of`; -1 where none is taken."""
        return _by_group({g: quota.last_bin for g, quota in self.groups.items() if g.stratum == stratum}, -1)

    def strata_within(self, tally: TileTally) -> set[str]:
        """Strata from which a tile gives pixels."""
        return {
            group.stratum
            for group, histogram in tally.histograms.items()
            if histogram[: self.groups[group].last_bin + 1].any()
        }

    def write(self, path: Path) -> None:
        """Write it as a document that people may want to open."""
        strata: dict[str, dict[str, dict[str, Any]]] = {}
        for (stratum, part, class_id), quota in self.groups.items():
            strata.setdefault(stratum, {}).setdefault(name_of(part), {})[str(class_id)] = vars(quota)
        content = {"crs": self.crs, "years": self.years, "pixels": dict(self.pixels), "strata": strata}
        write_json(path, content)


def histograms_of(stratum: str, drawn: Drawn) -> dict[Group, npt.NDArray[np.int64]]:
    """Histogram of the priorities of each part and class of a tile's candidates."""
    group = group_of(drawn.part, drawn.classes)
    return {
        Group(stratum, Part(int(one) // CLASSES), int(one) % CLASSES): histogram_of(drawn.priority[group == one])
        for one in np.unique(group)
    }


def share_out(tallies: Iterable[TileTally], totals: Mapping[Part, int]) -> RegionQuotas:
    """Add up the tallies of tiles, and share the pixels wanted out over the classes.

    Args:
        tallies: one of each tile; looked at once, and none is kept.
        totals: pixels wanted of each part, of every stratum.
    """
    crs: set[str] = set()
    years: set[int] = set()
    pixels = {name_of(part): 0 for part in Part}
    histograms: dict[Group, npt.NDArray[np.int64]] = {}
    for tally in tallies:
        crs.add(tally.crs)
        years.update(tally.years)
        for name, count in tally.pixels.items():
            pixels[name] += count
        for group, histogram in tally.histograms.items():
            known = histograms.setdefault(group, np.zeros(BINS, dtype=np.int64))
            known += histogram
    groups: dict[Group, GroupQuota] = {}
    for stratum in sorted({group.stratum for group in histograms}):
        for part in SAMPLED_PARTS:
            found = {g.class_id: h for g, h in histograms.items() if g[:2] == (stratum, part)}
            available = {class_id: int(histogram.sum()) for class_id, histogram in found.items()}
            for class_id, quota in equal_quotas(available, totals[part]).items():
                bound = last_bin(found[class_id], quota)
                groups[Group(stratum, part, class_id)] = GroupQuota(available[class_id], quota, bound)
    return RegionQuotas(tuple(sorted(crs)), tuple(sorted(years)), pixels, groups)


def read_tally(path: Path) -> TileTally:
    """Read what `TileTally.write` wrote.

    Raises:
        ArtifactError: the file is no such document.
    """
    try:
        content = read_json(path)
        histograms: dict[Group, npt.NDArray[np.int64]] = {}
        for group, entry in _groups(content):
            histograms[group] = np.zeros(BINS, dtype=np.int64)
            histograms[group][entry["first"] : entry["first"] + len(entry["counts"])] = entry["counts"]
        return TileTally(content["crs"], tuple(content["years"]), content["pixels"], histograms)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path.name}: cannot be read as a tile's tally: {error!r}") from error


def read_quotas(path: Path) -> RegionQuotas:
    """Read what `RegionQuotas.write` wrote.

    Raises:
        ArtifactError: the file is no such document.
    """
    try:
        content = read_json(path)
        groups = {group: GroupQuota(**entry) for group, entry in _groups(content)}
        return RegionQuotas(tuple(content["crs"]), tuple(content["years"]), content["pixels"], groups)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path.name}: cannot be read as quotas: {error!r}") from error


def name_of(part: Part) -> str:
    """A part as documents name it."""
    return part.name.lower()


def _by_group(values: Mapping[Group, int], default: int) -> npt.NDArray[np.int64]:
    found = np.full(GROUPS, default, dtype=np.int64)
    for group, value in values.items():
        found[group.part * CLASSES + group.class_id] = value
    return found


def _groups(content: Any) -> Iterable[tuple[Group, Any]]:
    for stratum, parts in content["strata"].items():
        for part, classes in parts.items():
            for class_id, entry in classes.items():
                yield Group(stratum, Part[part.upper()], int(class_id)), entry

"""A mixed archive: half the products with an offset, half without, and some that lie about it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.simulated_products import SIZE_PX, Fetched, as_of, write_datatake

from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import plan_datatakes
from landseries.simulation.sensor import Camera

pytestmark = [pytest.mark.science, pytest.mark.xdist_group("mixed archive")]

SEED = 917
YEARS = (2018, 2019)
_OFFSETS = re.compile(r"<BOA_ADD_OFFSET_VALUES_LIST>.*?</BOA_ADD_OFFSET_VALUES_LIST>", re.DOTALL)


@dataclass(frozen=True)
class Mixed:
    """An archive whose second year repeats the first's images; products by convention."""

    folder: Path
    raised: list[Path]
    plain: list[Path]


@pytest.fixture
def mixed(written: list[Path], tmp_path: Path) -> Mixed:
    """The products for one test, which rewrites them."""
    folder = tmp_path / "products"
    products = [Path(shutil.copytree(path, folder / path.name)) for path in written]
    raised = [path for path in products if "_N0500_" in path.name]
    return Mixed(folder, raised, [path for path in products if path not in raised])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Each image in both years, one with the offset and one without, and every third as a duplicate of both kinds."""
    folder = tmp_path_factory.mktemp("mixed")
    written: list[Path] = []
    geometry, difficulty = Geometry(SIZE_PX), Difficulty(registration_shift_max_m=0.0)
    camera = Camera(geometry, YEARS[0], difficulty, SEED)
    datatakes = plan_datatakes([YEARS[0]], 24, geometry, difficulty, SEED)
    whole = [one for one in datatakes if one.cloud_share < 0.6 and one.swath.edge_m is None]
    assert len(whole) >= 8
    for number, datatake in enumerate(whole):
        image = camera.take(datatake)
        for later in (0, 1):
            baseline = "05.00" if (number + later) % 2 else "02.13"
            both = ("02.13", "05.00") if number % 3 == 0 else (baseline,)
            written += write_datatake(folder, as_of(datatake, later, *both), image)
    return written


def rewrite(product: Path, offset: int | None) -> None:
    """Have a product's metadata say another offset; None for none at all."""
    path = product / "MTD_MSIL2A.xml"
    each = "".join(f'<BOA_ADD_OFFSET band_id="{band}">{offset}</BOA_ADD_OFFSET>' for band in range(13))
    listed = "" if offset is None else f"<BOA_ADD_OFFSET_VALUES_LIST>{each}</BOA_ADD_OFFSET_VALUES_LIST>"
    text = path.read_text()
    if _OFFSETS.search(text):
        text = _OFFSETS.sub(listed, text)
    else:
        text = text.replace("<Scene_Classification_List>", f"{listed}<Scene_Classification_List>", 1)
    path.write_text(text)


def test_reflectance_is_equal_between_years(mixed: Mixed, tmp_path: Path) -> None:
    found = Fetched(mixed.folder, YEARS, tmp_path / "work")
    assert not found.refused
    baselines = {
        product["baseline"] for entry in found.table["acquisitions"].values() for product in entry["products"].values()
    }
    assert baselines == {"02.13", "05.00"}
    first, second = ([(n, i) for n, i in found.images() if f"_{year}" in n] for year in YEARS)
    assert len(first) == len(second) >= 8
    largest = 0
    for (one, image), (other, later) in zip(first, second, strict=True):
        assert one.replace("_2018", "_2019") == other
        clear = (image[-1] == 1) & (later[-1] == 1)
        if clear.any():
            # Numbers without the offset hold no reflectance below 0.0001.
            known = [np.maximum(values[:-1, clear].astype(int), 1) for values in (image, later)]
            largest = max(largest, int(np.abs(known[0] - known[1]).max()))
    assert largest <= 1, "1e-4 reflectance"
    verdicts = {entry["level"]["verdict"] for entry in found.table["acquisitions"].values()}
    assert verdicts <= {"ok", "cannot tell"}


@pytest.mark.parametrize(
    ("which", "offset", "verdict"),
    [("raised", 0, "missing offset"), ("plain", -1000, "doubled offset")],
)
@pytest.mark.parametrize("share", [0.6, 1.0])
def test_metadata_that_lies_is_never_believed(
    mixed: Mixed, tmp_path: Path, which: str, offset: int, verdict: str, share: float
) -> None:
    """Some, most or all of one kind lie: with the other kind beside them, or (below) with nothing beside them."""
    products = getattr(mixed, which)
    liars = {path.name.removesuffix(".SAFE") for path in products[: round(share * len(products))]}
    for path in products:
        if path.name.removesuffix(".SAFE") in liars:
            rewrite(path, offset)
    found = Fetched(mixed.folder, YEARS, tmp_path / "work")
    lying = {name for name, entry in found.table["acquisitions"].items() if liars & set(entry["products"])}
    assert lying
    assert lying <= set(found.refused), {n: found.table["acquisitions"][n]["level"] for n in lying - set(found.refused)}
    told = [found.table["acquisitions"][name]["level"]["verdict"] for name in lying]
    assert told.count(verdict) >= 0.8 * len(told)
    honest = set(found.table["acquisitions"]) - lying
    wrongly = {name for name in honest & set(found.refused) if "do tell are wrong" not in found.refused[name]}
    assert not wrongly, "refused are those that lie, and those that are made like them and cannot be told"


@pytest.mark.parametrize("which", ["raised", "plain"])
def test_an_archive_that_lies_altogether_is_refused(mixed: Mixed, tmp_path: Path, which: str) -> None:
    """All products of one convention, all of them lying: nothing right is there to compare with."""
    other = mixed.plain if which == "raised" else mixed.raised
    for path in other:
        (path / "MTD_MSIL2A.xml").unlink()  # left by the search
    for path in getattr(mixed, which):
        rewrite(path, 0 if which == "raised" else -1000)
    found = Fetched(mixed.folder, YEARS, tmp_path / "work")
    assert set(found.refused) == set(found.table["acquisitions"])
    assert len(found.refused) >= 6


def test_what_is_found_does_not_depend_on_the_number_of_threads(mixed: Mixed, tmp_path: Path) -> None:
    tables = [Fetched(mixed.folder, YEARS, tmp_path / f"{n}", threads=n, probe_tiles=2).table for n in (1, 3)]
    assert tables[0] == tables[1]

"""Bad input, as the command line meets it: a clear error or a named refusal, and nothing else is lost."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.warp import Resampling, calculate_default_transform, reproject
from support.small_run import write_config

from tests.end_to_end.conftest import Cli

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1200)]


@pytest.fixture
def broken(archive: Path, tmp_path: Path) -> Path:
    """A copy of the archive to break, of links to its files."""
    target = tmp_path / "archive"
    shutil.copytree(archive, target, copy_function=lambda a, b: Path(b).symlink_to(a))
    return target


def moved(run: dict[str, Any], folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    """The small run over another copy of the archive."""
    return run | {
        "name": name,
        "source": {"kind": "safe", "path": str(folder / "products")},
        "reference": run["reference"] | {"path": str(folder / "reference" / "clc2018.tif")},
        **changes,
    }


def refusals(workdir: Path, name: str) -> dict[str, str]:
    """Reason of every unit that is not done."""
    found = {}
    root = workdir / "store" / "runs" / name / "markers"
    for path in root.rglob("*.json"):
        marker = json.loads(path.read_text())
        if marker["status"] != "done":
            found[path.relative_to(root).with_suffix("").as_posix()] = marker["reason"]
    return found


def test_broken_products_are_named_and_the_rest_goes_on(
    broken: Path, small_run: dict[str, Any], cli: Cli, tmp_path: Path
) -> None:
    products = sorted((broken / "products").glob("S2?_MSIL2A_2018*_N0206_*_T32TQS_*.SAFE"))
    # Which of them a tile chooses depends on the weather; among four, one is chosen.
    truncated, headless = products[1::2][:4], products[0]
    for image in (image for product in truncated for image in product.rglob("*_B04_10m.jp2")):
        content = image.read_bytes()
        image.unlink()
        image.write_bytes(content[: len(content) // 3])
    (headless / "MTD_MSIL2A.xml").unlink()
    config = write_config(tmp_path, moved(small_run, broken, "broken"))
    result = cli("run", config, "--workdir", tmp_path / "work", "--jobs", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "work" / "broken" / "report.html").exists()
    searches = [
        path.read_text() for path in (tmp_path / "work" / "store" / "artifacts" / "search").rglob("search.json")
    ]
    said = "\n".join([*searches, *refusals(tmp_path / "work", "broken").values(), result.stdout])
    assert headless.name.removesuffix(".SAFE") in said
    assert "MTD_MSIL2A.xml" in said
    assert f"left out {headless.name.removesuffix('.SAFE')}" in result.stdout
    refused = refusals(tmp_path / "work", "broken")
    assert any(name.startswith("fetch/") and "B04" in reason for name, reason in refused.items()), refused


def test_a_year_without_products_is_refused_and_the_others_are_mapped(
    archive: Path, small_run: dict[str, Any], cli: Cli, tmp_path: Path
) -> None:
    config = write_config(tmp_path, moved(small_run, archive, "gap", years=[2018, 2019, 2022]))
    result = cli("run", config, "--workdir", tmp_path / "work", "--jobs", 2)
    assert "no product" in result.stdout
    assert "warning: the source has no product of 2022" in result.stderr
    reasons = refusals(tmp_path / "work", "gap")
    assert any(name.startswith("search/") and "2022" in name for name in reasons)
    results = tmp_path / "work" / "gap"
    assert (results / "maps" / "multi-year" / "2019").is_dir()
    assert not list((results / "maps" / "multi-year").glob("2022/*.tif"))
    assert "2022" in (results / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"area": {"bbox": [2.0, 48.0, 2.1, 48.1]}}, "none of its .* tiles lies in a granule"),
        ({"source": {"kind": "safe", "path": "/no/such/folder"}}, "/no/such/folder"),
        ({"reference": {"path": "/no/such.tif", "year": 2018}}, "/no/such.tif"),
        ({"extra": 1}, "extra: unknown field"),
        ({"truth": {"path": "/no/truth/{year}.tif"}}, "truth.path: there is no file for any year"),
    ],
)
def test_what_cannot_run_is_said_before_anything_is_spent(
    small_run: dict[str, Any], cli: Cli, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config = write_config(tmp_path, small_run | changes)
    for command in ("check", "run"):
        result = cli(command, config, "--workdir", tmp_path / "work")
        assert result.returncode == 2, result.stdout
        assert "error:" in result.stderr
        assert "Traceback" not in result.stderr
        import re

        assert re.search(message, result.stderr), result.stderr
    assert not (tmp_path / "work" / "store" / "plans").exists()


def test_a_worker_knows_its_services_and_says_what_it_cannot_read(cli: Cli, tmp_path: Path) -> None:
    unknown = cli("worker", "nope")
    assert unknown.returncode == 2
    assert "services are fetcher" in unknown.stderr
    command = [sys.executable, "-m", "landseries", "child", "indexer", "--workdir", str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in ("garbage", "{}", "[]", '{"message": {}, "threads": 1}'):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        assert "holds no message" in json.loads(process.stdout.readline())["dead"]
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    process.stdout.close()


def test_an_empty_folder_is_no_archive(small_run: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    source = {"kind": "safe", "path": str(tmp_path / "empty")}
    result = cli("check", write_config(tmp_path, small_run | {"source": source}))
    assert result.returncode == 2
    assert "empty" in result.stderr


def test_a_map_in_another_projection_gives_the_same_classes(
    broken: Path, small_run: dict[str, Any], cli: Cli, tmp_path: Path
) -> None:
    path = broken / "reference" / "clc2018.tif"
    with rasterio.open(path) as source:
        codes, crs, transform = source.read(1), source.crs, source.transform
        profile, bounds = source.profile, source.bounds
    target, width, height = calculate_default_transform(
        crs, "EPSG:4326", profile["width"], profile["height"], *bounds, resolution=0.00005
    )
    turned = np.zeros((height, width), np.uint8)
    reproject(
        codes,
        turned,
        src_transform=transform,
        src_crs=crs,
        dst_transform=target,
        dst_crs="EPSG:4326",
        resampling=Resampling.nearest,
    )
    path.unlink()
    profile.update(crs="EPSG:4326", transform=target, width=width, height=height)
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(turned, 1)
    result = cli("check", write_config(tmp_path, moved(small_run, broken, "turned")))
    assert result.returncode == 0, result.stderr


def test_a_map_whose_codes_the_legend_lacks_is_named(
    archive: Path, small_run: dict[str, Any], cli: Cli, tmp_path: Path
) -> None:
    legend = {
        "title": "two classes",
        "classes": [
            {"id": 1, "name": "Forest", "colour": "#00582a", "codes": [23, 24]},
            {"id": 2, "name": "Water", "colour": "#2b6cb0", "codes": [40]},
        ],
    }
    (tmp_path / "legend.yaml").write_text(yaml.safe_dump(legend))
    reference = small_run["reference"] | {"legend": "legend.yaml"}
    config = write_config(tmp_path, small_run | {"name": "coded", "reference": reference})
    result = cli("run", config, "--workdir", tmp_path / "work", "--jobs", 2)
    assert result.returncode != 0
    assert "unused_codes" in result.stdout + result.stderr


def test_a_class_that_the_area_lacks_does_no_harm(done_small: Path) -> None:
    assessment = json.loads((done_small / "assessment.json").read_text())
    for tree in (assessment, assessment["whole_area"]):
        text = json.dumps(tree)
        assert "NaN" not in text
        assert "Infinity" not in text


@pytest.fixture(scope="module")
def done_small(small_run: dict[str, Any], archive: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a run over one corner of the area, in which some classes do not occur."""
    folder = tmp_path_factory.mktemp("corner")
    area = json.loads((archive / "area.geojson").read_text())
    text = json.dumps(area)
    numbers = np.array(_coordinates(area))
    west, south = numbers.min(axis=0)
    east, north = numbers.max(axis=0)
    assert text
    corner = {"bbox": [float(west), float(south), float(west + (east - west) / 2), float(south + (north - south) / 2)]}
    config = write_config(folder, small_run | {"name": "corner", "area": corner})
    result = cli("run", config, "--workdir", folder / "work", "--jobs", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "work" / "corner"


def _coordinates(content: Any) -> list[list[float]]:
    if isinstance(content, dict):
        return [pair for value in content.values() for pair in _coordinates(value)]
    if isinstance(content, list) and len(content) >= 2 and all(isinstance(v, float | int) for v in content[:2]):
        return [[float(content[0]), float(content[1])]]
    if isinstance(content, list):
        return [pair for value in content for pair in _coordinates(value)]
    return []


@pytest.mark.skipif(sys.platform != "linux", reason="the full disk is a small tmpfs, which needs Linux")
def test_a_full_disk_ends_the_run_and_space_lets_it_go_on(small_run: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(work)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here: " + mounted.stderr.strip())
    try:
        config = write_config(tmp_path, small_run | {"name": "full"})
        result = cli("run", config, "--workdir", work, "--jobs", 2)
        assert result.returncode == 2, result.stdout
        assert "is full; free some space" in result.stderr
        subprocess.run(["mount", "-o", "remount,size=2g", str(work)], check=True)
        again = cli("run", config, "--workdir", work, "--jobs", 2)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "going on" in again.stdout
    finally:
        subprocess.run(["umount", "-l", str(work)], check=True)

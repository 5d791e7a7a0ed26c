"""The demo's run on a simulated scene: consistent maps that are no less right, from reliable samples of a poor map."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from landseries.simulation import simulate
from landseries_assessor.gate import gate

pytestmark = [pytest.mark.science, pytest.mark.xdist_group("consistency"), pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
SEED = 8


@pytest.fixture(scope="module")
def assessment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The assessment of the demo's configuration over a scene of its own."""
    folder = tmp_path_factory.mktemp("science")
    simulate(folder / "demo" / "archive", seed=SEED, size_px=512, jobs=2)
    config = yaml.safe_load((ROOT / "examples" / "demo.yaml").read_text())
    (folder / "examples").mkdir()
    path = folder / "examples" / "demo.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "landseries", "run", str(path), "--workdir", str(folder / "work")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    found: dict[str, Any] = json.loads((folder / "work" / "demo" / "assessment.json").read_text())
    return found


def test_multi_year_maps_agree_more_and_are_no_less_right(assessment: dict[str, Any]) -> None:
    found = gate(assessment)
    assert found.passed, found.failures


def test_the_scene_is_as_hard_as_the_papers(assessment: dict[str, Any]) -> None:
    for pair in assessment["agreement"]["single-year"].values():
        assert 0.66 < pair["overall"] < 0.82


def test_reliable_samples_are_right_and_many(assessment: dict[str, Any]) -> None:
    reliable = assessment["reliable_samples"]
    assert reliable["macro"]["label_precision"] >= 0.95
    assert reliable["macro"]["label_precision"] >= reliable["macro"]["map_precision"] + 0.08
    assert reliable["recall"] >= 0.3
    for name, figures in reliable["per_class"].items():
        assert figures["recall"] is None or figures["recall"] >= 0.1, name

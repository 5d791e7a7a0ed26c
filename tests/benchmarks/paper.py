"""The paper's settings on simulated archives that nothing was tuned on: `python -m tests.benchmarks.paper`.

For each seed an archive is simulated and the whole chain runs with all four models. Printed are the paper's table,
accuracy and change figures as mean and spread over the seeds, the reliable samples, and whether each seed passes the
gate (that the gate turns away one pooled map for all years, and random flips, is a test of the assessor).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from landseries_assessor.gate import gate

#: Nothing was tuned on these.
SEEDS: Final = (211, 223, 227)
MODELS: Final = ("multi-year", "single-year", "single-year-agreeing", "multi-year-equal")


def main() -> None:
    """Run the seeds that are missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("bench"), help="where archives and runs lie")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--size", type=int, default=512, help="side of a scene in pixels")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    found = []
    for seed in arguments.seeds:
        started = time.monotonic()
        found.append(run_seed(arguments.folder / f"seed-{seed}", seed, arguments.size, arguments.jobs))
        print(f"seed {seed}: {time.monotonic() - started:.0f} s", flush=True)
    print("\n".join(tables(found)))


def run_seed(folder: Path, seed: int, size_px: int, jobs: int) -> dict[str, Any]:
    """The assessment of a run over the archive of a seed; what is done is not done again."""
    landseries = [sys.executable, "-m", "landseries"]
    if not (folder / "archive" / "simulation.json").exists():
        command = ["simulate", str(folder / "archive"), "--seed", str(seed), "--size", str(size_px)]
        subprocess.run([*landseries, *command, "--jobs", str(jobs)], check=True)
    config = {
        "name": "paper",
        "area": {"geojson": "archive/area.geojson"},
        "years": [2018, 2019, 2020],
        "source": {"kind": "safe", "path": "archive/products"},
        "reference": {"path": "archive/reference/clc2018.tif", "year": 2018},
        "truth": {"path": "archive/truth/{year}.tif"},
        "grid": {"tile_size_px": 256},
        "models": list(MODELS),
    }
    (folder / "paper.yaml").write_text(yaml.safe_dump(config))
    run = ["run", str(folder / "paper.yaml"), "--workdir", str(folder / "work"), "--jobs", str(jobs)]
    subprocess.run([*landseries, *run], check=True)
    assessment: dict[str, Any] = json.loads((folder / "work" / "paper" / "assessment.json").read_text())
    return assessment


def tables(found: list[dict[str, Any]]) -> Iterable[str]:
    """The lines of the tables, mean ± standard deviation over the seeds, on the prediction blocks."""
    pairs = sorted(found[0]["agreement"]["multi-year"])
    years = sorted(found[0]["accuracy"]["multi-year"])
    yield f"\n{'model':22}" + "".join(f"{'agree ' + p:>18}" for p in pairs) + f"{'accuracy':>16}{'change F1':>16}"
    for model in MODELS:
        agreement = [spread(one["agreement"][model][pair]["overall"] for one in found) for pair in pairs]
        accuracy = spread(statistics.mean(one["accuracy"][model][year]["overall"] for year in years) for one in found)
        change = spread(statistics.mean(one["change"][model][pair]["f1"] or 0 for pair in pairs) for one in found)
        yield f"{model:22}" + "".join(f"{text:>18}" for text in agreement) + f"{accuracy:>16}{change:>16}"
    yield "\nreliable samples"
    for one in found:
        passed = gate(one)
        yield f"gate: {'passed' if passed.passed else 'FAILED ' + '; '.join(passed.failures)}"
    for name in ("label_precision", "map_precision", "kept_share", "recall"):
        yield f"  {name:20} {spread(_overall(one['reliable_samples'][name]) for one in found)}"


def _overall(figure: Any) -> float:
    return float(figure["macro"] if isinstance(figure, dict) else figure)


def spread(values: Iterable[float]) -> str:
    """Mean ± standard deviation."""
    numbers = list(values)
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return f"{statistics.mean(numbers):.3f} ± {deviation:.3f}"


if __name__ == "__main__":
    main()

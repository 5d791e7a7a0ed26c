"""eo-learn's side of the interpolation benchmark, run by the interpreter of an environment of its own.

    python eolearn_rounds.py FOLDER

It reads FOLDER/case.npz, does one round for every line `serial` or `parallel` on standard input, and answers with the
seconds that the round took. It imports nothing of landseries; its result goes to FOLDER/result.npy.
"""

from __future__ import annotations

import datetime
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
from eolearn.core import EOPatch, FeatureType  # noqa: E402
from eolearn.features.extra.interpolation import LinearInterpolationTask  # noqa: E402
from sentinelhub import CRS, BBox  # noqa: E402


def main(folder: Path) -> None:
    case = np.load(folder / "case.npz")
    start = datetime.datetime(2018, 1, 1)
    days = [start + datetime.timedelta(days=int(day)) for day in case["days"]]
    dates = [start + datetime.timedelta(days=int(day)) for day in case["dates"]]
    patch = EOPatch(bbox=BBox((0, 0, 1, 1), CRS.WGS84), timestamps=days)
    # Its axes are (time, y, x, band), its values floating point.
    patch[FeatureType.DATA, "BANDS"] = np.ascontiguousarray(case["values"].transpose(0, 2, 3, 1), dtype=np.float32)
    patch[FeatureType.MASK, "CLEAR"] = case["clear"][..., None]
    tasks = {
        name: LinearInterpolationTask(
            (FeatureType.DATA, "BANDS"),
            parallel=name == "parallel",
            mask_feature=(FeatureType.MASK, "CLEAR"),
            resample_range=dates,
        )
        for name in ("serial", "parallel")
    }
    results = [task.execute(patch) for task in tasks.values()]  # compiles both
    np.save(folder / "result.npy", results[0][FeatureType.DATA, "BANDS"])
    print("ready", flush=True)
    for line in sys.stdin:
        task = tasks[line.strip()]
        begin = time.perf_counter()
        task.execute(patch)
        print(time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

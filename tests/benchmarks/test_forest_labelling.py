"""Forest labelling against scikit-learn and onnxruntime, on the same forest, pixels and cores, in one run.

    pytest tests/benchmarks/test_forest_labelling.py --benchmark-columns=min,median,rounds

Rounds of the two that are compared alternate, and a round of ours is as many passes over the pixels as take about as
long as one of theirs, so that another load on the machine meets both alike. The ratio is the median over the rounds; it
is printed, and stands with both rates in the saved JSON (`extra_info`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from landseries_pseudolabeler.forest import Forest, from_sklearn
from landseries_pseudolabeler.walk import predict

DATES: Final = 20
BANDS: Final = 10
CLASSES: Final = 10
TREES: Final = 100
SAMPLES: Final = 24_000
PIXELS: Final = 256 * 256
ROUNDS: Final = 9
PASSES: Final = 5


@dataclass(frozen=True)
class Case:
    """A forest as both sides know it, and pixels as both sides want them."""

    grown: RandomForestClassifier
    forest: Forest
    stored: NDArray[np.int16]
    rows: NDArray[np.float32]


def series(count: int, seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """(count, dates x bands) phenologies of ten classes: spread, mixed pixels, noise, missing dates, wrong labels."""
    classes, random = np.random.default_rng(7), np.random.default_rng(seed)
    level = classes.uniform(300, 3500, (CLASSES, 1, BANDS))
    season = classes.uniform(-1500, 1500, (CLASSES, 1, BANDS))
    peak, width = classes.uniform(0.35, 0.65, (CLASSES, 1, 1)), classes.uniform(0.1, 0.3, (CLASSES, 1, 1))
    time_of_year = np.linspace(0, 1, DATES)[None, :, None]
    shift, gain = random.normal(0, 0.05, (count, 1, 1)), random.normal(1, 0.25, (count, 1, 1))

    def profile(of: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        bell = np.exp(-(((time_of_year - peak[of] - shift) / width[of]) ** 2))
        return np.asarray(level[of] + gain * season[of] * bell)

    labels = random.integers(0, CLASSES, count)
    share = ((random.random(count) < 0.35) * random.uniform(0, 0.6, count))[:, None, None]
    values = (1 - share) * profile(labels) + share * profile(random.integers(0, CLASSES, count))
    values += random.normal(0, 500, (count, 1, BANDS)) + random.normal(0, 450, values.shape)
    stored = np.rint(np.clip(values, -2000, 16000)).astype(np.int16)
    stored[random.random((count, DATES)) < 0.08] = -32768
    wrong = random.random(count) < 0.1
    return stored.reshape(count, -1), np.where(wrong, random.integers(0, CLASSES, count), labels).astype(np.uint8)


@pytest.fixture(scope="module")
def case() -> Case:
    features, labels = series(SAMPLES, 1)
    cores = numba.get_num_threads()
    grown = RandomForestClassifier(TREES, min_samples_leaf=2, random_state=0, n_jobs=cores)
    grown.fit(features.astype(np.float32), labels)
    forest = from_sklearn(grown, feature_names=[str(number) for number in range(DATES * BANDS)], seed=0)
    pixels, _ = series(PIXELS, 2)
    return Case(grown, forest, np.ascontiguousarray(pixels.T), pixels.astype(np.float32))


def label(case: Case) -> NDArray[np.uint8]:
    """Labels with all probabilities beside them, as predict_proba gives them."""
    return predict(case.forest, case.stored, probabilities=True).label


def side_by_side(
    benchmark: Any, capsys: pytest.CaptureFixture[str], case: Case, theirs: Callable[[], Any], name: str
) -> float:
    """Throughput of ours (which the benchmark records) over theirs."""
    our_seconds: list[float] = []
    their_seconds: list[float] = []

    def their_round() -> None:
        start = time.perf_counter()
        theirs()
        their_seconds.append(time.perf_counter() - start)

    def our_round() -> None:
        start = time.perf_counter()
        for _ in range(PASSES):
            label(case)
        our_seconds.append((time.perf_counter() - start) / PASSES)

    benchmark.pedantic(our_round, setup=their_round, rounds=ROUNDS, warmup_rounds=1)
    ratio = float(np.median(np.divide(their_seconds, our_seconds)[1:]))
    ours, reference = (PIXELS / float(np.median(seconds[1:])) for seconds in (our_seconds, their_seconds))
    benchmark.extra_info.update(pixels_per_s=round(ours), reference_pixels_per_s=round(reference), ratio=ratio)
    with capsys.disabled():
        print(f"\nforest labelling: {ours:,.0f} pixels/s, {name} {reference:,.0f} pixels/s, ratio {ratio:.2f}")
    return ratio


def test_against_scikit_learn(benchmark: Any, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """At least twice the throughput of predict_proba on all cores, with equal labels."""
    expected = case.grown.classes_[case.grown.set_params(n_jobs=1).predict_proba(case.rows).argmax(axis=1)]
    assert np.array_equal(label(case), expected)
    case.grown.set_params(n_jobs=numba.get_num_threads())
    name = "RandomForestClassifier.predict_proba"
    assert side_by_side(benchmark, capsys, case, lambda: case.grown.predict_proba(case.rows), name) >= 2


def test_against_onnxruntime(benchmark: Any, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """The same forest through skl2onnx; its float32 votes may break near-ties otherwise."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    model = skl2onnx.to_onnx(case.grown, case.rows[:1], options={"zipmap": False})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = numba.get_num_threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: case.rows}
    assert np.mean(session.run(None, inputs)[0] == label(case)) > 0.999
    assert side_by_side(benchmark, capsys, case, lambda: session.run(None, inputs), "onnxruntime") > 1

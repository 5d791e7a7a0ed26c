"""The forest's file: the same bytes from every process, and whatever is no forest is refused and not walked."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from landseries.errors import ArtifactError
from landseries_pseudolabeler.forest import Forest, fit_forest
from landseries_pseudolabeler.model_file import read_forest, write_forest

METADATA = {"year": 2018, "samples": {"Water": 3, "Sand": 1}, "note": "Bäume"}

WRITE_AGAIN = """
import sys
from pathlib import Path
import numpy as np
from landseries_pseudolabeler.forest import fit_forest
from landseries_pseudolabeler.model_file import write_forest
random = np.random.default_rng(0)
features = random.integers(-500, 9000, (300, 6)).astype(np.int16)
labels = (features[:, 0] // 3000 + 1).astype(np.uint8)
forest = fit_forest(features, labels, feature_names=list("abcdef"), trees=7, seed=5, min_samples_leaf=3,
                    threads=int(sys.argv[2]))
write_forest(Path(sys.argv[1]), forest, {"b": 1, "a": 2})
"""


def forest() -> Forest:
    random = np.random.default_rng(0)
    features = random.integers(-500, 9000, (120, 3)).astype(np.int16)
    labels = (features[:, 1] // 2500 + 1).astype(np.uint8)
    return fit_forest(features, labels, feature_names=["B02", "B03", "B04"], trees=4, seed=7, min_samples_leaf=2)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "forest.safetensors"
    write_forest(path, forest(), METADATA)
    return path


def test_what_is_written_is_read(written: Path) -> None:
    original = forest()
    found, metadata = read_forest(written)
    assert metadata == METADATA
    for field in fields(Forest):
        value, expected = getattr(found, field.name), getattr(original, field.name)
        assert np.array_equal(value, expected)
        assert type(value) is type(expected)


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for threads in ("1", "3"):
        path = tmp_path / f"forest-{threads}"
        subprocess.run([sys.executable, "-c", WRITE_AGAIN, str(path), threads], check=True, timeout=120)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_there_is_one_metadata_key_and_no_software_version(written: Path) -> None:
    with safe_open(written, framework="numpy") as file:
        metadata = file.metadata()
    assert list(metadata) == ["landseries"]
    assert set(json.loads(metadata["landseries"])) == {"classes", "features", "format", "metadata", "seed", "version"}


@pytest.mark.parametrize("value", [{1, 2}, np.float32(1), float("nan")])
def test_metadata_that_json_cannot_say_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_forest(tmp_path / "forest", forest(), {"key": value})
    assert not (tmp_path / "forest").exists()


def header_text(path: Path) -> str:
    with safe_open(path, framework="numpy") as file:
        return str(file.metadata()["landseries"])


def change_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    header = json.loads(header_text(path))
    change(header)
    save_file(load_file(path), path, {"landseries": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda header: header.update(format="other"), "format 'other'"),
        (lambda header: header.update(version=2), "version 2; expected 'landseries-forest' version 1"),
        (lambda header: header.update(features="abc"), "expected lists"),
        (lambda header: header.update(features=["B02", "B03"]), "beyond the last one"),
        (lambda header: header.update(features=["B02", "B03", ["B04"]]), "non-empty names"),
        (lambda header: header.update(classes=[1, 2]), "shares"),
        (lambda header: header.update(classes={"1": 2}), "expected lists"),
        (lambda header: header.update(seed="7"), "seed"),
        (lambda header: header.update(metadata=[]), "expected an object"),
        (lambda header: header.pop("seed"), "fields"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(written: Path, change: Any, text: str) -> None:
    change_header(written, change)
    with pytest.raises(ArtifactError, match=text) as caught:
        read_forest(written)
    assert str(written) in str(caught.value)


def test_a_child_that_leads_back_is_refused(written: Path) -> None:
    arrays = load_file(written)
    header = {"landseries": header_text(written)}
    inner = int(np.flatnonzero(arrays["child"] > 0)[-1])
    arrays["child"][inner] = 0
    save_file(arrays, written, header)
    with pytest.raises(ArtifactError, match="children after their parent"):
        read_forest(written)


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        ("child", np.zeros(3, np.int64), "child: dtype I64; expected I32"),
        ("shares", np.ones((2, 2), np.float32), "shares: dtype F32; expected F64"),
        ("extra", np.zeros(1), "arrays child, extra"),
        ("child", None, "arrays feature"),
        ("threshold", np.zeros((2, 2), np.int16), "threshold"),
    ],
)
def test_other_arrays_are_refused(written: Path, name: str, array: Any, text: str) -> None:
    arrays = load_file(written)
    header = {"landseries": header_text(written)}
    arrays.pop(name, None)
    if array is not None:
        arrays[name] = array
    save_file(arrays, written, header)
    with pytest.raises(ArtifactError, match=text):
        read_forest(written)


@pytest.mark.parametrize("header", [None, {"other": "{}"}, {"landseries": "{}", "more": ""}, {"landseries": "["}])
def test_other_metadata_is_refused(written: Path, header: dict[str, str] | None) -> None:
    save_file(load_file(written), written, header)
    with pytest.raises(ArtifactError, match="cannot be read as a forest"):
        read_forest(written)


def test_json_nested_without_end_is_refused(written: Path) -> None:
    save_file(load_file(written), written, {"landseries": "[" * 100_000})
    with pytest.raises(ArtifactError, match="nested"):
        read_forest(written)


def test_a_missing_file_and_a_truncated_one_are_refused(written: Path) -> None:
    with pytest.raises(ArtifactError, match="absent"):
        read_forest(written.with_name("absent"))
    written.write_bytes(written.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="cannot be read as a forest"):
        read_forest(written)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_give_a_sound_forest_or_an_artifact_error(written: Path, data: st.DataObject) -> None:
    content = bytearray(written.read_bytes())
    original = bytes(content)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = written.with_name("damaged")
    damaged.write_bytes(content)
    try:
        found, _ = read_forest(damaged)
    except ArtifactError:
        assert bytes(content) != original
    else:
        assert (found.child[~found.is_leaf] > np.flatnonzero(~found.is_leaf)).all()

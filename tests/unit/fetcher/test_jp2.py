"""Files that end too early."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_archive import TinyProduct, write_product

from landseries_fetcher.jp2 import incompleteness


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = write_product(tmp_path_factory.mktemp("product"), TinyProduct())
    return next(root.rglob("*_B02_10m.jp2")).read_bytes()


def test_a_whole_file(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "whole.jp2"
    path.write_bytes(whole)
    assert incompleteness(path) is None


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_found(whole: bytes, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "cut.jp2"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert incompleteness(path) is not None


def test_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.jp2"
    path.write_bytes(b"<html>quota exceeded</html>")
    assert incompleteness(path) == "is no JPEG 2000 file"


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.jp2"
    path.write_bytes(b"\x00\x00\x00\x0cjP  \r\n\x87\n" + content)
    incompleteness(path)

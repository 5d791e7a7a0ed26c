"""What the fetcher's tests share: an archive to fill with tiny products."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.tiny_archive import TinyProduct, write_product


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Writes products into one folder and returns the folder."""

    def write(*products: TinyProduct) -> Path:
        folder = tmp_path / "products"
        folder.mkdir(exist_ok=True)
        for product in products:
            write_product(folder, product)
        return folder

    return write


@pytest.fixture
def real_data() -> Path:
    """The folder of real test data; a test that needs it is skipped aloud where there is none."""
    folder = os.environ.get("LANDSERIES_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LANDSERIES_TEST_DATA names no folder of real data")
    return Path(folder)

"""Fetching windows of a remote image, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence

from landseries_fetcher.remote import cog_index, jp2_index
from landseries_fetcher.remote.reader import HEAD_BYTES
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.remote.windows import BadStructure, PixelWindow


def ensure_windows(copy: SparseCopy, windows: Sequence[PixelWindow]) -> int:
    """Fetch what a decoder needs to read windows of a copy at full resolution; how many bytes were fetched.

    To be called before the copy is opened: a decoder that has it open already may remember bytes that were missing.

    Raises:
        BadStructure: the file is neither JPEG 2000 nor TIFF, or damaged.
        RemoteError: see `RangeReader.read`.
        CacheFull: see `ContentCache.claim`.
    """
    with copy.filling() as filling:
        before = filling.ensure([(0, min(HEAD_BYTES, filling.size))])
        head = filling.read(0, 12)
        name = filling.name
    if head[4:8] == b"jP  " or head[:2] == b"\xff\x4f":
        return before + jp2_index.ensure_window(copy, windows)
    if head[:2] in (b"II", b"MM"):
        return before + cog_index.ensure_window(copy, windows)
    raise BadStructure(f"{name} is neither a JPEG 2000 nor a TIFF image; it begins with {head!r}")

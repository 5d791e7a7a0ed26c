"""Whether a JPEG 2000 file is complete.

Decoders forgive a file that ends too early: read in several threads, GDAL's driver returns zeros for the blocks that
it cannot decode, which would pass for no-data. So the end is looked at before anything is decoded.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

#: Marker at the end of a codestream (ISO/IEC 15444-1, Annex A.4.4).
_END_OF_CODESTREAM: Final = b"\xff\xd9"
_SIGNATURE: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_BOXES_MAX: Final = 10_000


def incompleteness(path: Path) -> str | None:
    """Why a JPEG 2000 file is not complete; None where it is.

    Follows the boxes of the file (ISO/IEC 15444-1, Annex I) to its codestream and reads the codestream's last marker.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(len(_SIGNATURE)) != _SIGNATURE:
            return "is no JPEG 2000 file" if size else "is empty"
        end = _codestream(stream, size)
        if end is None:
            return f"is truncated: it ends after {size} bytes, before its image"
        if end > size:
            return f"is truncated: it has {size} of {end} bytes"
        stream.seek(end - len(_END_OF_CODESTREAM))
        if stream.read(len(_END_OF_CODESTREAM)) != _END_OF_CODESTREAM:
            return f"is truncated: its image of {size} bytes has no end"
    return None


def _codestream(stream: BinaryIO, size: int) -> int | None:
    """Offset of the end of the codestream box; None where the file has none."""
    start = 0
    for _ in range(_BOXES_MAX):
        stream.seek(start)
        head = stream.read(16)
        if len(head) < 8:
            return None
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        # A length of 0 means that the box lasts to the end of the file.
        end = start + length if length else size
        if head[4:8] == b"jp2c":
            return end
        if end <= start:
            return None
        start = end
    return None

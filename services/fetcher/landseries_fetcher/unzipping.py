"""Taking the wanted files out of a zip archive that somebody else made.

An archive is taken as hostile: nothing of it is written outside the target folder, no link or special file is made,
and neither memory nor disk can be filled. One bad entry refuses the whole archive, wanted or not: an honest archive
has none.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

#: The central directory is read in one piece, before its entries can be counted.
_DIRECTORY_BYTES_MAX: Final = 8 * 2**20
_CHUNK_BYTES: Final = 1 << 20
#: Small files may be anything; what they cost is bounded by their number.
_SMALL_BYTES: Final = 1 << 20
_NAME_LENGTH_MAX: Final = 1_024
_PART_LENGTH_MAX: Final = 255
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1
#: What zipfile raises over archives that it cannot take.
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError)


class BadArchive(Exception):
    """An archive that is damaged, or does what no product does; the text is the reason."""


class Seekable(Protocol):
    """What is read of an archive."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes from the current offset; fewer only at the end."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to an offset, and return it from the start."""

    def tell(self) -> int:
        """The current offset."""


@dataclass(frozen=True)
class UnzipLimits:
    """What an archive may hold.

    Attributes:
        entries: number of files and folders.
        total_bytes: size of all files, unpacked.
        wanted_bytes: size of the wanted files, unpacked.
        ratio: how many times larger a file of more than 1 MiB may be than its packed form.
    """

    entries: int = 5_000
    total_bytes: int = 8 * 2**30
    wanted_bytes: int = 8 * 2**30
    ratio: float = 100.0


DEFAULT_LIMITS: Final = UnzipLimits()


def unzip(
    archive: Path, folder: Path, is_wanted: Callable[[str], bool], limits: UnzipLimits = DEFAULT_LIMITS
) -> tuple[str, ...]:
    """Unpack the wanted files of a zip file; see `unzip_stream`."""
    with archive.open("rb") as stream:
        return unzip_stream(stream, archive.stat().st_size, folder, is_wanted, limits)


def unzip_stream(
    stream: Seekable,
    size: int,
    folder: Path,
    is_wanted: Callable[[str], bool],
    limits: UnzipLimits = DEFAULT_LIMITS,
) -> tuple[str, ...]:
    """Unpack the wanted files; of the others nothing is read.

    Args:
        stream: the zip archive.
        size: its length in bytes.
        folder: an existing, empty folder; after an error it may hold some of the files, complete or not.
        is_wanted: whether a file is unpacked, by its name with `/` between the parts.
        limits: what the archive may hold.

    Returns:
        Names of the files, relative to the folder, in ascending order.

    Raises:
        BadArchive: it is no zip archive, damaged, or hostile: a path out of the folder, a link or special file, two
            entries of one name, encryption, or more than the limits allow.
        OSError: the disk is full, or the folder cannot be written.
    """
    try:
        with zipfile.ZipFile(_Reader(stream, size)) as content:
            files = checked_entries(content.infolist(), limits)
            wanted = sorted((entry for entry in files if is_wanted(entry.filename)), key=lambda e: e.filename)
            wanted_bytes = sum(entry.file_size for entry in wanted)
            if wanted_bytes > limits.wanted_bytes:
                raise BadArchive(f"unpacks to {wanted_bytes} bytes; a product of its size has {limits.wanted_bytes}")
            for entry in wanted:
                _write(content, entry, folder)
    except (*_DAMAGE, ValueError) as error:
        raise BadArchive(f"is damaged or no zip archive: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # An offset before the start of the file.
        raise BadArchive("is damaged: it points out of itself") from error
    return tuple(entry.filename for entry in wanted)


def checked_entries(entries: list[zipfile.ZipInfo], limits: UnzipLimits) -> list[zipfile.ZipInfo]:
    """The files of an archive, if all of its entries are harmless.

    Raises:
        BadArchive: one is not.
    """
    if len(entries) > limits.entries:
        raise BadArchive(f"holds {len(entries)} entries; at most {limits.entries} are unpacked")
    total, names, files, folders = 0, set[str](), list[zipfile.ZipInfo](), set[str]()
    for entry in entries:
        reason = _harm(entry, limits)
        if reason is not None:
            raise BadArchive(f"entry {entry.orig_filename[:120]!r} {reason}")
        name = entry.filename.rstrip("/").casefold()
        if name in names:
            raise BadArchive(f"holds {entry.filename[:120]!r} twice")
        names.add(name)
        folders.update(_parents(name))
        if not entry.is_dir():
            files.append(entry)
        total += entry.file_size
    if total > limits.total_bytes:
        raise BadArchive(f"holds {total} bytes unpacked; at most {limits.total_bytes} are")
    both = [entry.filename for entry in files if entry.filename.casefold() in folders]
    if both:
        raise BadArchive(f"holds {both[0][:120]!r} as a file and as a folder")
    return files


def _parents(name: str) -> list[str]:
    return [name[:place] for place, letter in enumerate(name) if letter == "/"]


def _harm(entry: zipfile.ZipInfo, limits: UnzipLimits) -> str | None:
    """Why an entry is refused; None where it is harmless."""
    # zipfile cuts a name at a zero byte: what is checked must be what was written.
    name = entry.orig_filename
    parts = name.removesuffix("/").split("/")
    if entry.filename != name or len(name) > _NAME_LENGTH_MAX or any(len(part) > _PART_LENGTH_MAX for part in parts):
        return "has a name that no file system takes"
    if not name.isascii() or not name.isprintable() or "\\" in name or ":" in name:
        return "has a name with other letters than a product's files have"
    if any(part in ("", ".", "..") for part in parts):
        return "leads out of its folder"
    mode = stat.S_IFMT(entry.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a special file"
    if entry.is_dir() != (mode == stat.S_IFDIR) and mode != 0:
        return "says that it is both a file and a folder"
    if entry.is_dir() and entry.file_size:
        return "is a folder with content"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in _METHODS:
        return "is packed by another method than store and deflate"
    if entry.file_size > max(_SMALL_BYTES, limits.ratio * entry.compress_size):
        return f"unpacks from {entry.compress_size} to {entry.file_size} bytes"
    return None


def _write(content: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Unpack one file, no longer than it says, and bring it onto the disk; the archive's CRC-32 is checked."""
    target = folder / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    # O_EXCL follows no link and opens nothing that is there.
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(handle, "wb") as sink, content.open(entry) as source:
        while chunk := source.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > entry.file_size:
                raise BadArchive(f"entry {entry.filename[:120]!r} is longer than it says")
            sink.write(chunk)
        sink.flush()
        os.fsync(sink.fileno())
    if written != entry.file_size:
        raise BadArchive(f"entry {entry.filename[:120]!r} has {written} of {entry.file_size} bytes")


class _Reader(io.BufferedIOBase):
    """A file of which nobody reads much at once: a directory of gigabytes is refused before it is in memory."""

    def __init__(self, stream: Seekable, size: int) -> None:
        self._stream = stream
        self._end = size

    def read(self, size: int | None = -1, /) -> bytes:
        rest = self._end - self._stream.tell()
        wanted = rest if size is None or size < 0 else min(size, rest)
        if wanted > _DIRECTORY_BYTES_MAX:
            raise BadArchive(f"has a directory of more than {_DIRECTORY_BYTES_MAX >> 20} MiB")
        return self._stream.read(max(wanted, 0))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

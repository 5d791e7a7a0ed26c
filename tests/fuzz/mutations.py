"""Damage and malice, drawn from a seed: bytes that are wrong anywhere, and texts and elements that are wrong in XML."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

#: Numbers that headers do not expect.
_WORDS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63, 2**64 - 1)
_TEXTS: Final = (
    *("", "nan", "inf", "-inf", "1e999", "-1", "0", "1.5", "9" * 400, "0x10", "1_000", "٣", "99.99", "EPSG:0"),
    *("../../etc/passwd", "\ud7ff", "&#0;", "&amp;", "<a/>", "]]>", " ", "None", "true", "1e-320"),
)
_DOCTYPES: Final = (
    '<!DOCTYPE a [<!ENTITY x "y">]>',
    '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>',
    '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd">%p;]>',
)
_TEXT: Final = re.compile(rb">([^<>]+)<")
_ATTRIBUTE: Final = re.compile(rb'="([^"]*)"')
_ELEMENT: Final = re.compile(rb"<([A-Za-z_0-9:]+)[^<>]*>[^<>]*</\1>")

Mutation = Callable[[bytearray, random.Random], bytes]


def damaged(content: bytes, chance: random.Random, others: Sequence[bytes], header_bytes: int) -> bytes:
    """Content with some of its bytes wrong.

    Args:
        content: what is damaged.
        chance: decides.
        others: what may be spliced in.
        header_bytes: the first bytes, which are hit more often.
    """
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not found:
            break
        found = bytearray(
            chance.choice(_BYTES)(found, chance) if chance.random() < 0.95 else _spliced(found, chance, others)
        )
        if chance.random() < 0.5 and header_bytes < len(found):
            at = chance.randrange(header_bytes)
            found[at] = chance.randrange(256)
    return bytes(found)


def distorted(content: bytes, chance: random.Random) -> bytes:
    """XML whose texts, attributes and elements are wrong, and which mostly still is XML."""
    found = content
    for _ in range(chance.choice((1, 1, 2, 5))):
        found = chance.choice(_XML)(bytearray(found), chance)
    return found


def _flip(content: bytearray, chance: random.Random) -> bytes:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def _word(content: bytearray, chance: random.Random) -> bytes:
    length = chance.choice((1, 2, 4, 8))
    at = chance.randrange(len(content))
    order = chance.choice(("big", "little"))
    content[at : at + length] = (chance.choice(_WORDS) % 256**length).to_bytes(length, order)  # type: ignore[arg-type]
    return bytes(content)


def _cut(content: bytearray, chance: random.Random) -> bytes:
    return bytes(content[: chance.randrange(len(content))])


def _without(content: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    del content[at : at + chance.choice((1, 2, 8, 100, 5_000))]
    return bytes(content)


def _twice(content: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    piece = content[at : at + chance.choice((1, 4, 46, 500))]
    content[at:at] = piece * chance.choice((1, 1, 30))
    return bytes(content)


def _noise(content: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    content[at : at + 8] = chance.randbytes(8)
    return bytes(content)


def _spliced(content: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    return bytes(content[: chance.randrange(len(content))]) + other[chance.randrange(len(other)) :]


def _somewhere(pattern: re.Pattern[bytes], content: bytes, chance: random.Random) -> re.Match[bytes] | None:
    return pattern.search(content, chance.randrange(len(content) or 1)) or pattern.search(content)


def _new_text(content: bytearray, chance: random.Random) -> bytes:
    place = _somewhere(chance.choice((_TEXT, _ATTRIBUTE)), bytes(content), chance)
    if place is None:
        return bytes(content)
    text = chance.choice(_TEXTS).encode("utf-8", "replace")
    return bytes(content[: place.start(1)]) + text + bytes(content[place.end(1) :])


def _element(content: bytearray, chance: random.Random) -> bytes:
    """An element gone, twice, nested deeply, or renamed."""
    place = _somewhere(_ELEMENT, bytes(content), chance)
    if place is None:
        return bytes(content)
    found, name = place[0], place[1]
    new = chance.choice((b"", found * 2, found * 50, (b"<%s>" % name) * 400 + (b"</%s>" % name) * 400))
    return bytes(content[: place.start()]) + new + bytes(content[place.end() :])


def _doctype(content: bytearray, chance: random.Random) -> bytes:
    at = content.find(b"?>") + 2 if content.startswith(b"<?xml") else 0
    return bytes(content[:at]) + chance.choice(_DOCTYPES).encode() + bytes(content[at:])


_BYTES: Final[tuple[Mutation, ...]] = (_flip, _word, _word, _cut, _without, _twice, _noise)
_XML: Final[tuple[Mutation, ...]] = (_new_text, _new_text, _new_text, _element, _element, _doctype, _flip)

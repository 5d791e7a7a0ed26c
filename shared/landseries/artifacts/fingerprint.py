"""Fingerprints: the name of what a unit writes follows from everything that decides its bytes."""

from __future__ import annotations

from typing import Any, Final

from landseries.artifacts.documents import canonical_json, digest_of

_FORMAT: Final = 1
#: Name of the object beside the outputs of a fingerprint that says which they are; written last.
MANIFEST: Final = "manifest.json"


def fingerprint(
    *,
    stage: str,
    version: int,
    key: dict[str, str],
    settings: dict[str, Any],
    shared: dict[str, Any],
    inputs: list[str],
    outside: dict[str, str],
    numerics: dict[str, Any] | None,
) -> str:
    """SHA-256 over the canonical JSON of what a unit's bytes depend on.

    Args:
        stage, version: the stage and its version.
        key: the unit's key fields.
        settings: the stage's settings without those at their default, so that a new field changes nothing.
        shared: the run's fields that the row declares.
        inputs: content digests of the artifacts that are used, in the order of the needs.
        outside: identifier -> checksum of what comes from outside (products, files).
        numerics: the numerics profile, where the result depends on it.
    """
    content = {
        "format": _FORMAT,
        "stage": stage,
        "version": version,
        "key": key,
        "settings": settings,
        "shared": shared,
        "inputs": inputs,
        "outside": outside,
        "numerics": numerics,
    }
    return digest_of(canonical_json(content))


def artifact_key(stage: str, identity: str, output: str) -> str:
    """Key of one output of a fingerprint."""
    return f"artifacts/{stage}/{identity[:2]}/{identity}/{output}"

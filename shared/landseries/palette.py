"""The colours and typefaces that all pages share: the report and the acquisition calendar."""

from __future__ import annotations

from importlib.resources import files


def palette() -> str:
    """A style sheet of variables, for light and dark."""
    return files("landseries").joinpath("palette.css").read_text(encoding="utf-8")

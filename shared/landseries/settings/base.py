"""What all settings models share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Base of the settings models: frozen, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def paper(default: Any, description: str, **limits: Any) -> Any:
    """A field whose default the paper gives."""
    return Field(default, description=description, json_schema_extra={"origin": "paper"}, **limits)


def ours(default: Any, description: str, **limits: Any) -> Any:
    """A field whose default is landseries' own, because the paper gives none."""
    return Field(default, description=description, json_schema_extra={"origin": "ours"}, **limits)

"""What all settings models share."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Settings(BaseModel):
    """Base of the settings models: frozen, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def paper(default: Any, description: str, **limits: Any) -> Any:
    """A field whose default the paper gives."""
    return Field(default, description=description, json_schema_extra={"origin": "paper"}, **limits)


def ours(default: Any, description: str, **limits: Any) -> Any:
    """A field whose default is landseries' own, because the paper gives none."""
    return Field(default, description=description, json_schema_extra={"origin": "ours"}, **limits)


def spelled(pattern: str, remedy: str) -> BeforeValidator:
    """Text of a form: what does not match the whole of a regular expression is refused with what to write instead.

    Comes before the type, since YAML makes numbers of some texts without quotes: of 12:00:00, 43200.
    """
    form = re.compile(pattern, re.ASCII)

    def check(given: Any) -> Any:
        if not isinstance(given, str) or form.fullmatch(given) is None:
            raise ValueError(remedy)
        return given

    return BeforeValidator(check)

"""Messages: an envelope that names one unit of work, with one pydantic body per stage, generated from the table.

A message is small. Data never travels in it. What comes from a broker is hostile until `decode` has checked it.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from landseries.errors import LandseriesError
from landseries.pipeline import STAGES, Unit

SCHEMA_VERSION: Final = 1
LARGEST_BODY_BYTES: Final = 4096

RunId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")]
_Year = Annotated[str, Field(pattern=r"^(19|20|21)\d\d$")]
_FIELD_TYPES: Final[dict[str, Any]] = {"year": _Year}


class BadMessage(LandseriesError):
    """A message that no number of tries makes readable; the text says why."""


class UnitMessage(BaseModel):
    """What the body of every message holds, beside the key fields of its stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: RunId


def _body_model(stage: str) -> type[UnitMessage]:
    fields: dict[str, Any] = {field: (_FIELD_TYPES.get(field, _Name), ...) for field in STAGES[stage].unit}
    return create_model(f"{stage.title()}Message", __base__=UnitMessage, __module__=__name__, **fields)


#: The body model of each stage's message.
BODIES: Final[dict[str, type[UnitMessage]]] = {stage: _body_model(stage) for stage in STAGES}


class Message(BaseModel):
    """An envelope as brokers carry it.

    `type` is the stage and its schema version, such as `index.v1`; `message_id` is derived from run and unit, so that
    a duplicate can be recognised; `traceparent` follows W3C Trace Context.
    """

    model_config = ConfigDict(frozen=True)

    type: str
    message_id: str
    traceparent: str
    body: bytes
    attempt: int = 1

    @property
    def stage(self) -> str:
        """The stage that the message is for, unchecked."""
        return self.type.split(".", 1)[0]


def encode(run_id: str, unit: Unit, traceparent: str | None = None) -> Message:
    """The message that asks for a unit of a run."""
    body = BODIES[unit.stage].model_validate({"run_id": run_id, **unit.fields})
    identity = hashlib.sha256("\x00".join((run_id, unit.stage, *unit.key)).encode()).hexdigest()[:32]
    return Message(
        type=f"{unit.stage}.v{SCHEMA_VERSION}",
        message_id=identity,
        traceparent=traceparent or new_trace(),
        body=body.model_dump_json().encode(),
    )


def decode(message: Message) -> tuple[str, Unit]:
    """The run and unit that a message names.

    Raises:
        BadMessage: unknown type or version, too large, not JSON, or with wrong fields.
    """
    stage, _, version = message.type.partition(".")
    if stage not in STAGES:
        raise BadMessage(f"type {message.type[:80]!r} names no stage of this pipeline")
    if version != f"v{SCHEMA_VERSION}":
        raise BadMessage(f"type {message.type[:80]!r} has a version that this worker does not read")
    if len(message.body) > LARGEST_BODY_BYTES:
        raise BadMessage(f"body has {len(message.body)} bytes, more than {LARGEST_BODY_BYTES}")
    try:
        body = BODIES[stage].model_validate_json(message.body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the body"
        raise BadMessage(f"{stage} message: {where}: {first['msg']}") from None
    return body.run_id, Unit(stage, tuple(getattr(body, field) for field in STAGES[stage].unit))


def new_trace() -> str:
    """A fresh `traceparent`."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"

"""What a row of the pipeline table is made of: a stage, its unit of work, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

#: How long a stage's artifacts stay: for good, or until every unit of the run that reads them has been answered.
Keep = Literal["always", "until consumed"]


class Bind(Enum):
    """How one key field of a needed unit follows from the unit that needs it."""

    SAME = "same"
    EVERY = "every"
    TRAINING_YEAR = "training year"
    HOME = "home granule of the tile"
    CHOSEN = "acquisitions that the tile chose"
    INSIDE = "tiles of the granule"


@dataclass(frozen=True)
class Need:
    """A stage that must have answered first.

    Attributes:
        stage: the needed stage.
        bind: how each key field of the needed units follows.
        tolerant: whether the stage lives with some of them refused or empty, as long as one is done.
        outputs: names of the outputs that are used, with the waiting unit's fields in braces; None for all. Only
            these enter the fingerprint, so that what is not used changes nothing.
    """

    stage: str
    bind: Mapping[str, Bind]
    tolerant: bool = False
    outputs: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Stage:
    """A row of the table.

    Attributes:
        name: the stage.
        service: the service whose workers do it.
        unit: names of the unit's key fields, in order.
        needs: what must have answered first.
        settings: path of its settings model in the configuration.
        shared: further fields of the run that its handler may read; they enter the fingerprint.
        version: raised whenever the same inputs would give other bytes.
        long: whether a unit may take longer than a broker waits for an acknowledgement.
        numerics: whether the result depends on the numerics profile.
        rendering: whether it reads the state of the run itself, and so is outside the identity promise.
        sampled: whether its units together write a sample whose size the settings give, however large the area.
        keep: how long `landseries gc` leaves its artifacts in the store, where the run's settings do not say otherwise.
    """

    name: str
    service: str
    unit: tuple[str, ...]
    needs: tuple[Need, ...]
    settings: str
    shared: tuple[str, ...] = ()
    version: int = 1
    long: bool = False
    numerics: bool = False
    rendering: bool = False
    sampled: bool = False
    keep: Keep = "always"

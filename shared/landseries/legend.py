"""The legend: the classes of a map, their colours, and how the codes of an existing map become classes.

A legend is a YAML file, so that users bring their own. With landseries ship `corine` (default: eleven classes),
`corine-paper` (ten), `corine-detailed` (all 44 classes of level 3) and `worldcover` (ESA WorldCover).
Class 0 is no-data everywhere.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from landseries.errors import ConfigError
from landseries.settings.base import spelled

#: Class value of pixels without a class, in every map.
NO_CLASS: Final = 0

#: The 44 level-3 codes of CORINE Land Cover in the order in which the 100 m raster numbers them 1..44.
CORINE_CODES: Final[tuple[int, ...]] = (
    *(111, 112, 121, 122, 123, 124, 131, 132, 133, 141, 142),
    *(211, 212, 213, 221, 222, 223, 231, 241, 242, 243, 244),
    *(311, 312, 313, 321, 322, 323, 324, 331, 332, 333, 334, 335),
    *(411, 412, 421, 422, 423, 511, 512, 521, 522, 523),
)

_HIGHEST_CODE: Final = 65_535
#: Rasters of CORINE may hold one undeclared value around the land; a map of two or more that are no codes, and more
#: than this share of it, is another map.
_FOREIGN_SHARE: Final = 0.001


class LandCoverClass(BaseModel):
    """One class of a legend: its value in maps, its name, its colour, and the codes that belong to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[int, Field(ge=1, le=250)]
    name: Annotated[
        str, spelled(r"[^\x00-\x1f,/]{1,100}", "write 1 to 100 characters on one line, without commas and slashes")
    ]
    colour: Annotated[
        str, spelled(r"#[0-9a-fA-F]{6}", 'write # and six hexadecimal digits in quotes, such as "#e6004d"')
    ]
    codes: Annotated[list[Annotated[int, Field(ge=0, le=_HIGHEST_CODE)]], Field(min_length=1)]

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three values 0..255."""
        return (int(self.colour[1:3], 16), int(self.colour[3:5], 16), int(self.colour[5:7], 16))


class Legend(BaseModel):
    """The classes of a map, in the order of their ids.

    `coding: corine` reads rasters that carry 1..44 as well as rasters that carry the level-3 codes themselves, and
    treats everything else as no-data. `coding: direct` takes values as they are, and an unknown value is an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    attribution: str = ""
    coding: Literal["corine", "direct"] = "direct"
    nodata_codes: list[int] = []
    unused_codes: list[int] = []
    classes: Annotated[list[LandCoverClass], Field(min_length=2, max_length=100)]

    @field_validator("classes")
    @classmethod
    def _in_order(cls, classes: list[LandCoverClass]) -> list[LandCoverClass]:
        return sorted(classes, key=lambda entry: entry.id)

    @model_validator(mode="after")
    def _nothing_twice(self) -> Legend:
        for what, values in (
            ("class id", [entry.id for entry in self.classes]),
            ("class name", [entry.name for entry in self.classes]),
            ("code", [code for entry in self.classes for code in entry.codes]),
        ):
            twice = sorted({str(value) for value in values if values.count(value) > 1})  # type: ignore[arg-type]
            if twice:
                raise ValueError(f"{what} {', '.join(twice)} appears more than once; give each to one class only")
        if self.coding == "corine":
            unknown = sorted({code for entry in self.classes for code in entry.codes} - set(CORINE_CODES))
            if unknown:
                raise ValueError(f"{unknown} are no CORINE level-3 codes; use codes such as 111 or 312")
        return self

    @property
    def ids(self) -> tuple[int, ...]:
        """Class values in ascending order."""
        return tuple(entry.id for entry in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of `ids`."""
        return tuple(entry.name for entry in self.classes)

    def name_of(self, class_id: int) -> str:
        """Name of a class value; 'no-data' for 0.

        Raises:
            KeyError: no class has this value.
        """
        if class_id == NO_CLASS:
            return "no-data"
        return {entry.id: entry.name for entry in self.classes}[class_id]

    def classify(self, codes: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Turn the codes of an existing map into class values.

        Args:
            codes: integer array of any shape, the values of the map's raster.

        Returns:
            Array of the same shape, uint8 class values, 0 where the map has no class of this legend.

        Raises:
            ConfigError: with `coding: direct`, the map holds a value that the legend does not mention.
        """
        values = np.asarray(codes)
        outside = (values < 0) | (values > _HIGHEST_CODE)
        safe = np.where(outside, 0, values).astype(np.uint16)
        if self.coding == "direct":
            self._check_known(np.unique(safe[~outside]))
        classes: npt.NDArray[np.uint8] = self._table()[safe]
        classes[outside] = NO_CLASS
        return classes

    def check_fit(self, codes: npt.NDArray[Any]) -> None:
        """Look whether the codes of an existing map are those of this legend.

        Args:
            codes: integer array of any shape; negative values are places without a code.

        Raises:
            ConfigError: none of them belongs to a class, or they are those of another map.
        """
        if self.coding == "corine":
            self._check_corine(np.asarray(codes))
        if not self.classify(codes).any():
            raise ConfigError(
                f"the map has no pixel of any class of the legend {self.title!r} over the area; check "
                "reference.legend, whose `coding: corine` reads CORINE codes, `coding: direct` any others"
            )

    def unknown_codes(self, codes: npt.NDArray[Any]) -> tuple[list[int], float]:
        """Codes of an existing map of which nothing is known, and their share of all places that have a code.

        Args:
            codes: integer array of any shape; values up to 0 are places without a code.

        Returns:
            None and 0.0 with `coding: direct`, where such codes are errors.
        """
        if self.coding != "corine":
            return [], 0.0
        values, counts = np.unique(codes[codes > 0], return_counts=True)
        known = np.isin(values, [*range(1, len(CORINE_CODES) + 1), *CORINE_CODES, *self.nodata_codes])
        foreign: list[int] = values[~known].tolist()
        return foreign, float(counts[~known].sum() / max(counts.sum(), 1))

    def _check_corine(self, codes: npt.NDArray[Any]) -> None:
        """A map of other codes would be read as CORINE's numbers 1..44 where it has such values."""
        foreign, share = self.unknown_codes(codes)
        if len(foreign) > 1 and share > _FOREIGN_SHARE:
            raise ConfigError(
                f"the map holds {foreign[:10]}, which are no CORINE codes; name the legend of this map as "
                f"reference.legend ({', '.join(shipped_legends())}, or a file), or add what is no data to the "
                "`nodata_codes` of a copy of the legend"
            )

    def _table(self) -> npt.NDArray[np.uint8]:
        table = np.zeros(_HIGHEST_CODE + 1, dtype=np.uint8)
        for entry in self.classes:
            for code in entry.codes:
                table[code] = entry.id
                if self.coding == "corine":
                    table[CORINE_CODES.index(code) + 1] = entry.id
        return table

    def _check_known(self, values: npt.NDArray[np.uint16]) -> None:
        known = {*self.nodata_codes, *self.unused_codes, *(c for entry in self.classes for c in entry.codes)}
        unknown = [int(value) for value in values if int(value) not in known]
        if unknown:
            raise ConfigError(
                f"legend {self.title!r}: the reference map holds the codes {unknown[:10]}, which the legend does not "
                "mention; add each to the `codes` of a class, to `unused_codes`, or to `nodata_codes`"
            )


def shipped_legends() -> list[str]:
    """Names of the legends that ship with landseries."""
    folder = resources.files("landseries") / "legends"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_legend(name_or_path: str, base: Path | None = None) -> Legend:
    """Read a legend by the name of a shipped one, or from a YAML file.

    Args:
        name_or_path: for example `corine`, or a path (relative to `base`).
        base: folder that relative paths start from; default the current one.

    Raises:
        ConfigError: no such legend, or the file's fields are wrong.
    """
    if name_or_path in shipped_legends():
        text = (resources.files("landseries") / "legends" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
        where = f"legend {name_or_path}"
    else:
        path = (base or Path()) / name_or_path
        where = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"legend {name_or_path!r} is neither one of {', '.join(shipped_legends())} nor a readable file: {error}"
            ) from error
    try:
        return Legend.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: is not valid YAML: {error}") from error
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}".removeprefix(": ") for item in error.errors())
        raise ConfigError("\n".join(f"{where}: {line.replace('Value error, ', '')}" for line in lines)) from None

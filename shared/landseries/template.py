"""`landseries init`: a commented configuration, generated from the schema so that it cannot fall behind it."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from landseries.config import RunConfig

_EXAMPLES: dict[str, Any] = {
    "name": "my-valley",
    "area": {"bbox": [11.0, 46.0, 11.2, 46.2]},
    "years": [2018, 2019, 2020],
    "source": {"kind": "safe", "path": "products"},
    "reference": {"path": "clc2018.tif", "year": 2018, "legend": "corine"},
}

#: Sources in place of the example's, and what each is or needs.
OTHER_SOURCES: tuple[tuple[dict[str, Any], str], ...] = (
    (
        {"kind": "cdse", "cache": "cache", "cache_gib": 50},
        "Copernicus Data Space; LANDSERIES_CDSE_ACCESS_KEY and LANDSERIES_CDSE_SECRET_KEY (or ..._FILE) hold the keys",
    ),
    ({"kind": "earth-search", "cache": "cache"}, "Earth Search on AWS, which anybody may read"),
    ({"kind": "planetary-computer", "cache": "cache"}, "the Planetary Computer, which anybody may read"),
    (
        {"kind": "stac", "url": "https://HOST/stac/v1", "collection": "sentinel-2-l2a", "cache": "cache"},
        "any STAC API with Sentinel-2 L2A; `assets` names its bands, `s3_endpoint` the bucket of s3:// addresses",
    ),
    (
        {"kind": "dhus", "api_url": "https://HOST/dhus", "cache": "cache"},
        "a DHuS hub; LANDSERIES_DHUS_USER and LANDSERIES_DHUS_PASSWORD (or ..._PASSWORD_FILE) hold the account",
    ),
    ({"kind": "cube", "paths": ["cube.nc"], "features": {"B04": "red", "B08": "nir"}}, "a data cube: NetCDF or Zarr"),
)

_HEAD = """\
## A landseries run. Check it with `landseries check FILE`, start it with `landseries run FILE`.
## Only the fields without `#` in front are needed; the others stand at their defaults, with where those come from:
## (paper) = given in the paper, (ours) = landseries' own, because the paper gives none.
## Paths are relative to this file; ${NAME} reads the environment.
"""


def config_template() -> str:
    """The text of a commented configuration that is valid as it stands (its paths aside)."""
    lines = [_HEAD]
    for name, field in RunConfig.model_fields.items():
        if name in _EXAMPLES:
            lines += ["", f"## {field.description}"]
            lines.append(_example(name))
            lines += _other_sources() if name == "source" else []
        else:
            lines += ["", *_commented(name, field, "")]
    return "\n".join(lines) + "\n"


def _example(name: str) -> str:
    value = _EXAMPLES[name]
    if not isinstance(value, dict):
        return f"{name}: {_flow(value)}"
    model = RunConfig.model_fields[name].annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return "\n".join([f"{name}:", *(f"  {key}: {_flow(entry)}" for key, entry in value.items())])
    lines = [f"{name}:"]
    for key, entry in value.items():
        lines += [f"  ## {model.model_fields[key].description}", f"  {key}: {_flow(entry)}"]
    for key, field in model.model_fields.items():
        lines += [] if key in value else _commented(key, field, "  ")
    return "\n".join(lines)


def _other_sources() -> list[str]:
    """Prose, because a file has one source: whoever wants another writes its line in place of the example."""
    lines = [
        "##",
        "## Or one of these in its place; where `cache` is left out, the user's cache folder holds what was read:",
    ]
    for fields, about in OTHER_SOURCES:
        lines += [f"##   source: {_flow(fields)}", f"##     {about}"]
    return lines


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return text.strip().removesuffix("...").strip()


def _commented(name: str, field: FieldInfo, indent: str) -> list[str]:
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        if not type(default).model_fields:
            return []
        about = (type(default).__doc__ or "").strip().splitlines()[0]
        lines = [f"# {indent}## {about}", f"# {indent}{name}:"]
        for inner, inner_field in type(default).model_fields.items():
            lines += _commented(inner, inner_field, indent + "  ")
        return lines
    extra = field.json_schema_extra
    origin = f" ({extra['origin']})" if isinstance(extra, dict) and "origin" in extra else ""
    value = list(default) if isinstance(default, tuple) else default
    return [f"# {indent}## {field.description}{origin}", f"# {indent}{name}: {_flow(value)}"]

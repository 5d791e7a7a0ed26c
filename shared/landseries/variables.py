"""Environment variables in files that people write: ${NAME} stands for the variable's value."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from landseries.errors import ConfigError

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expand_variables(value: Any, where: str, field: str = "") -> Any:
    """What was read from YAML with each ${NAME} replaced by that environment variable.

    Args:
        value: texts, numbers, lists and dictionaries.
        where: the file, for people.
        field: of the file that holds the value.

    Raises:
        ConfigError: a variable is not set.
    """
    if isinstance(value, dict):
        return {key: expand_variables(entry, where, f"{field}.{key}".lstrip(".")) for key, entry in value.items()}
    if isinstance(value, list):
        return [expand_variables(entry, where, f"{field}.{i}") for i, entry in enumerate(value)]
    if not isinstance(value, str):
        return value

    def read(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(f"{where}: {field}: the environment variable {name} is not set; export it first")
        return os.environ[name]

    return _VARIABLE.sub(read, value)

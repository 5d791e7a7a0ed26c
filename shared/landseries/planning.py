"""From a configuration file to what a plan needs: the source as the fetcher finds it, and the numerics profile."""

from __future__ import annotations

from pathlib import Path

from landseries import numerics
from landseries.config import LoadedConfig, load_config
from landseries.errors import ConfigError
from landseries.plan import SourceDescription
from landseries.service import load_service


def describe_source(config: Path) -> tuple[LoadedConfig, SourceDescription]:
    """Read a configuration and touch its sources.

    Raises:
        ConfigError: the configuration is wrong, or the fetcher is not installed.
        SourceError: a source cannot be read.
    """
    loaded = load_config(config)
    fetcher = load_service("fetcher")
    if fetcher.describe is None:
        raise ConfigError("the installed fetcher cannot describe sources: install landseries-fetcher of this version")
    return loaded, fetcher.describe(loaded)


def settle_numerics(loaded: LoadedConfig) -> numerics.NumericsProfile:
    """The numerics profile of a run that is planned on this machine."""
    wanted = loaded.run.numerics
    return numerics.settle(wanted.device, wanted.precision, wanted.training_threads)

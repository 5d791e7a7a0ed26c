"""From a configuration file to what a plan needs: the source as the fetcher finds it, and the numerics profile."""

from __future__ import annotations

import os
from pathlib import Path

from landseries import numerics
from landseries.config import LoadedConfig, load_config
from landseries.errors import ConfigError
from landseries.plan import SourceDescription
from landseries.service import load_service
from landseries.settings.catalogues import CdseSource
from landseries.settings.sources import Source


def describe_source(config: Path, *, reads_here: bool = False) -> tuple[LoadedConfig, SourceDescription]:
    """Read a configuration and touch its sources.

    Args:
        config: the file.
        reads_here: whether this machine is to read the source's pixels, and not workers elsewhere.

    Raises:
        ConfigError: the configuration is wrong, a file that it names is missing, or the fetcher is not installed; or
            pixels are to be read here and cannot be without keys.
        SourceError: a source cannot be read.
    """
    loaded = load_config(config)
    keys = missing_keys(loaded.run.source)
    if reads_here and keys is not None:
        raise ConfigError(f"{config}: source: {keys}")
    fetcher = load_service("fetcher")
    if fetcher.describe is None:
        raise ConfigError("the installed fetcher cannot describe sources: install landseries-fetcher of this version")
    _check_truth(loaded)
    return loaded, fetcher.describe(loaded)


def missing_years(loaded: LoadedConfig, source: SourceDescription) -> list[int]:
    """Years of the run for which the source has no acquisition: they will be refused, and the others mapped."""
    return [year for year in loaded.run.years if source.acquisitions.get(year, 1) == 0]


def missing_keys(source: Source) -> str | None:
    """Which keys the environment lacks although none of a source's pixels can be read without; None for none.

    Of other buckets nothing is said: one that needs no keys is public.
    """
    if not isinstance(source, CdseSource) or source.s3_endpoint is None:
        return None
    names = [f"{source.key_names}_{part}_KEY" for part in ("ACCESS", "SECRET")]
    missing = [name for name in names if not os.environ.get(name) and not os.environ.get(f"{name}_FILE")]
    if not missing:
        return None
    return (
        f"the environment sets no {' and no '.join(missing)} (or ..._FILE), and {source.s3_endpoint} lets nobody read "
        "images without the keys of an account"
    )


def _check_truth(loaded: LoadedConfig) -> None:
    truth = loaded.run.truth
    if truth is None:
        return
    paths = [loaded.resolve(Path(truth.path.format(year=year))) for year in loaded.run.years]
    if not any(path.is_file() for path in paths):
        raise ConfigError(
            f"{loaded.path}: truth.path: there is no file for any year, such as {paths[0]}; mend the path, or leave "
            "`truth` out where no true maps are known"
        )


def settle_numerics(loaded: LoadedConfig) -> numerics.NumericsProfile:
    """The numerics profile of a run that is planned on this machine."""
    wanted = loaded.run.numerics
    return numerics.settle(
        wanted.device, wanted.precision, wanted.training_threads, wanted.training_processes, wanted.capability
    )


def check_numerics(profile: numerics.NumericsProfile) -> None:
    """Make sure that a whole run can be done on this machine.

    Raises:
        ConfigError: it lacks what the run's numerics profile asks for.
    """
    missing = numerics.missing_for(profile)
    if missing is not None:
        raise ConfigError(
            f"numerics: {missing}, which the run asks for: run it where there is one, submit it to workers that have "
            "one, or change `numerics`"
        )

"""The fetcher: searches a source of imagery, reads reflectance and clear masks, and grids the existing map."""

from __future__ import annotations

from collections.abc import Mapping

from landseries.config import LoadedConfig
from landseries.plan import SourceDescription
from landseries.service import Context, Handler, Service


def _search(context: Context) -> None:
    """See `landseries_fetcher.handlers.search`."""
    from landseries_fetcher import handlers

    handlers.search(context)


def _search_outside(context: Context) -> Mapping[str, str]:
    """See `landseries_fetcher.handlers.search_outside`."""
    from landseries_fetcher import handlers

    return handlers.search_outside(context)


def _reference(context: Context) -> None:
    """See `landseries_fetcher.handlers.reference`."""
    from landseries_fetcher import handlers

    handlers.reference(context)


def _reference_outside(context: Context) -> Mapping[str, str]:
    """See `landseries_fetcher.handlers.reference_outside`."""
    from landseries_fetcher import handlers

    return handlers.reference_outside(context)


def _harmony(context: Context) -> None:
    """See `landseries_fetcher.handlers.harmony`."""
    from landseries_fetcher import handlers

    handlers.harmony(context)


def _harmony_outside(context: Context) -> Mapping[str, str]:
    """See `landseries_fetcher.handlers.harmony_outside`."""
    from landseries_fetcher import handlers

    return handlers.harmony_outside(context)


def _fetch(context: Context) -> None:
    """See `landseries_fetcher.handlers.fetch`."""
    from landseries_fetcher import handlers

    handlers.fetch(context)


def _fetch_outside(context: Context) -> Mapping[str, str]:
    """See `landseries_fetcher.handlers.fetch_outside`."""
    from landseries_fetcher import handlers

    return handlers.fetch_outside(context)


def _describe(loaded: LoadedConfig) -> SourceDescription:
    """See `landseries_fetcher.describing.describe`."""
    from landseries_fetcher.describing import describe

    return describe(loaded)


SERVICE = Service(
    "fetcher",
    {
        "search": Handler(_search, _search_outside),
        "reference": Handler(_reference, _reference_outside),
        "harmony": Handler(_harmony, _harmony_outside),
        "fetch": Handler(_fetch, _fetch_outside),
    },
    describe=_describe,
)

"""Settings of the indexer: the regular dates of a year, and what is missing."""

from __future__ import annotations

from landseries.settings.base import Settings, ours


class IndexSettings(Settings):
    """How clear views become a regular series."""

    dates: int = ours(24, "Regular dates a year; the same days of the period in every year", ge=2, le=120)
    max_gap_days: int = ours(
        60, "A regular date further than this from the nearest clear view is missing", ge=1, le=366
    )


class IndexerSettings(Settings):
    """Regularisation."""

    index: IndexSettings = IndexSettings()

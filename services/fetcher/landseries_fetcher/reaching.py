"""What a source that cannot be reached means for a unit: it waits for one that is away, and tells what to mend of one
that refuses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from landseries.errors import ConfigError
from landseries.gates import SourceAway
from landseries.service import Context
from landseries.settings.catalogues import CatalogueSource
from landseries.settings.remote import RemoteSource
from landseries.settings.sources import Source
from landseries_fetcher.remote.reader import RemoteForbidden, RemoteUnavailable

ResultT = TypeVar("ResultT")


def reaching(handler: Callable[[Context], ResultT]) -> Callable[[Context], ResultT]:
    """A handler that asks the source of its run, with what its servers answer sorted.

    The handler made raises, beside what the given one does:
        SourceAway: a server was away or too busy for longer than the reader's own patience.
        ConfigError: it refuses this user.
    """

    @functools.wraps(handler)
    def asking(context: Context) -> ResultT:
        try:
            return handler(context)
        except RemoteUnavailable as error:
            raise SourceAway(str(error)) from error
        except RemoteForbidden as error:
            raise refusal(error, context.outside.source) from error

    return asking


def refusal(error: RemoteForbidden, source: Source) -> ConfigError:
    """What a source's refusal means for who configured it, with what to mend."""
    return ConfigError(f"source: {error}; {_remedy(source)}")


def _remedy(source: Source) -> str:
    if isinstance(source, RemoteSource) and source.s3_endpoint is not None:
        return f"set {source.key_names}_ACCESS_KEY and {source.key_names}_SECRET_KEY to keys that are valid there"
    if isinstance(source, CatalogueSource) and source.sas_url is not None:
        return "see source.sas_url and source.signed_hosts"
    return "a source that asks for an account needs a kind with keys, such as cdse"

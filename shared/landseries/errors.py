"""Errors that a person is meant to read: what was wrong, where, and what would be right."""

from __future__ import annotations


class LandseriesError(Exception):
    """Base of every error that landseries raises on purpose; the command line prints its text without a traceback."""


class ConfigError(LandseriesError):
    """The configuration, or a file it names, cannot be used; the text names the file and field and the remedy."""


class SourceError(LandseriesError):
    """A source of imagery or the reference map cannot be read at all (as opposed to one bad product)."""


class ArtifactError(LandseriesError):
    """An artifact is corrupt, or was written by something else than its name says."""


class StoreError(LandseriesError):
    """The store cannot do what was asked: full, unreachable, or no right to write."""


class StoreFull(StoreError):
    """No space is left in the store; nothing that was written before is lost."""


class StoreUnavailable(StoreError):
    """The store does not answer, or says that it cannot at the moment; the same call may succeed later."""


class BrokerError(LandseriesError):
    """The broker refuses: wrong credentials or virtual host, or a queue that is missing; the text names the remedy."""


class BrokerUnavailable(BrokerError):
    """The broker does not answer or the connection broke; what was not confirmed must be sent again."""


class RunConflict(LandseriesError):
    """The run's name is already taken by another configuration."""


class Refused(LandseriesError):
    """A unit of work cannot be done, whatever the number of tries: bad data, or too little of it.

    A handler raises it; the worker records the text as the unit's reason and the rest of the run goes on.
    """

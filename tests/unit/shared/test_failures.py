"""Failures: every kind of error is sorted once, and its reason is for people."""

import errno

import pytest

from landseries.errors import (
    ArtifactError,
    BrokerError,
    BrokerUnavailable,
    ConfigError,
    LandseriesError,
    SourceError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from landseries.failures import CAUSES, Cause, Kind, cause_of, sort_failure
from landseries.gates import NotNow, OtherProfile, RunCancelled, SourceAway, WrongMachine
from landseries.leases import LeaseHeld
from landseries.messages import BadMessage
from landseries.numerics import NumericsProfile
from landseries.worker import StageVersionMismatch


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadMessage("x"), "dead"),
        (RunCancelled("x"), "drop"),
        (OtherProfile(NumericsProfile()), "restart"),
        (NotNow("x"), "later"),
        (LeaseHeld("x"), "later"),
        (StoreFull("x"), "full"),
        (StoreUnavailable("x"), "away"),
        (BrokerUnavailable("x"), "unsent"),
        (BrokerError("x"), "retry"),
        (StoreError("x"), "retry"),
        (ArtifactError("x"), "retry"),
        (SourceError("x"), "retry"),
        (ConfigError("x"), "retry"),
        (StageVersionMismatch("x"), "retry"),
        (LandseriesError("x"), "retry"),
    ],
)
def test_our_own_errors_are_told_in_their_own_words(error: LandseriesError, kind: Kind) -> None:
    failure = sort_failure(error)
    assert failure.kind == kind
    assert failure.reason == str(error)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (StageVersionMismatch("x"), "version"),
        (WrongMachine("x"), "machine"),
        (OtherProfile(NumericsProfile()), "profile"),
        (StoreFull("x"), "store"),
        (StoreUnavailable("x"), "store"),
        (StoreError("x"), "store"),
        (BrokerUnavailable("x"), "broker"),
        (SourceAway("x"), "source"),
        (SourceError("x"), "source"),
        (LeaseHeld("x"), "lease"),
        (NotNow("x"), "budget"),
        (RunCancelled("x"), "cancelled"),
        (BadMessage("x"), "message"),
        (ArtifactError("x"), "unit"),
        (ValueError("x"), "unit"),
        (MemoryError(), "unit"),
    ],
)
def test_every_error_has_a_cause_to_count(error: Exception, cause: Cause) -> None:
    assert cause_of(error) == cause
    assert cause in CAUSES


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_costs_no_attempt(number: int) -> None:
    failure = sort_failure(OSError(number, "no space"))
    assert failure.kind == "full"
    assert "scratch folder is full" in failure.reason


def test_too_little_memory_says_what_to_change() -> None:
    failure = sort_failure(MemoryError())
    assert (failure.kind, "grid.tile_size_px" in failure.reason) == ("retry", True)


def handler_of_someone_else(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [KeyError("NDVI"), PermissionError(errno.EACCES, "denied"), ZeroDivisionError("x")])
def test_whatever_a_library_raises_is_retried_with_its_place(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        handler_of_someone_else(error)
    failure = sort_failure(caught.value)
    assert failure.kind == "retry"
    assert failure.reason.startswith(f"{type(error).__name__}: {error} (test_failures.py:")


def test_an_error_that_was_never_raised_is_sorted_as_well() -> None:
    assert sort_failure(ValueError("x")).reason == "ValueError: x (no traceback)"

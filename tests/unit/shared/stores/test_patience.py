"""How long a call goes on while the store is away."""

from itertools import pairwise

import pytest

from landseries.errors import StoreError, StoreUnavailable
from landseries.stores.patience import Patience


def test_pauses_grow_and_end_with_the_patience() -> None:
    now = [0.0]
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    def fail() -> None:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable, match=r"^away \(\d+ tries in 60 s\)$"):
        Patience(60, clock=lambda: now[0], sleep=sleep).call(fail)
    assert sum(pauses) == pytest.approx(60)
    assert 0.05 <= pauses[0] <= 0.1
    assert max(pauses) <= 5
    assert all(later > earlier / 2 for earlier, later in pairwise(pauses[:8]))
    assert 15 < len(pauses) < 40


def test_only_what_may_pass_is_tried_again() -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise StoreError("refused")

    with pytest.raises(StoreError, match=r"^refused$"):
        Patience(60).call(fail)
    assert len(tries) == 1


def test_without_patience_there_is_one_try() -> None:
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        Patience(0).call(fail)
    assert len(tries) == 1


def test_the_time_counts_from_the_first_failure() -> None:
    now = [0.0]
    tries: list[int] = []

    def transfer() -> str:
        tries.append(1)
        now[0] += 3600
        if len(tries) == 1:
            raise StoreUnavailable("the connection broke after an hour")
        return "whole"

    assert Patience(60, clock=lambda: now[0], sleep=lambda _: None).call(transfer) == "whole"

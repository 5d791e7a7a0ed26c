"""What every store must do, specified once: a suite that each implementation's test class inherits."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landseries.artifacts.documents import digest_of
from landseries.errors import ArtifactError, StoreError
from landseries.stores.base import Store, Tagged, check_key

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
keys = st.lists(names, min_size=1, max_size=4).map("/".join)


class CountingStore(Store, Protocol):
    """A store that counts, as every one does that a worker uses."""

    bytes_in: int
    bytes_out: int


def race(contenders: int, enter: Callable[[int], bool]) -> list[int]:
    """Let threads enter at the same moment; the numbers of those for which it was true."""
    start = threading.Barrier(contenders)
    won: list[int] = []

    def run(number: int) -> None:
        start.wait()
        if enter(number):
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(contenders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


class StoreBehaviour:
    """Inherit and give a `store` fixture."""

    def test_what_is_put_can_be_read(self, store: Store, tmp_path: Path) -> None:
        store.put("a/b.json", b"one")
        assert store.get("a/b.json") == b"one"
        assert store.exists("a/b.json")
        with store.local("a/b.json") as path:
            assert path.read_bytes() == b"one"
        (tmp_path / "file").write_bytes(b"from a file")
        store.put("a/c", tmp_path / "file")
        assert store.get("a/c") == b"from a file"

    def test_other_bytes_than_expected_are_not_given_away(self, store: Store) -> None:
        store.put("a/b", b"one")
        with store.local("a/b", digest_of(b"one")) as path:
            assert path.read_bytes() == b"one"
        with pytest.raises(ArtifactError, match="a/b are not those that were put"), store.local("a/b", digest_of(b"1")):
            pytest.fail("nothing can be read")
        with pytest.raises(StoreError, match="no/such"), store.local("no/such", digest_of(b"one")):
            pytest.fail("nothing is there")

    def test_put_replaces_and_put_new_does_not(self, store: Store) -> None:
        assert store.put_new("k", b"first")
        assert not store.put_new("k", b"second")
        assert store.get("k") == b"first"
        store.put("k", b"third")
        assert store.get("k") == b"third"

    def test_what_is_not_there(self, store: Store) -> None:
        assert store.get("no/such") is None
        assert not store.exists("no/such")
        store.delete("no/such")
        with pytest.raises(StoreError, match="no/such"), store.local("no/such"):
            pass

    def test_a_prefix_is_no_object(self, store: Store) -> None:
        store.put("folder/object", b"x")
        assert not store.exists("folder")
        assert store.get("folder/object/below") is None

    def test_lists_in_ascending_order_below_a_prefix(self, store: Store) -> None:
        for key in ("b/2", "a/1", "b/10", "bb/1", "b/1/x"):
            store.put(key, key.encode())
        assert [item.key for item in store.list("b/")] == ["b/1/x", "b/10", "b/2"]
        assert [item.size_bytes for item in store.list("b/")] == [5, 4, 3]
        assert [item.key for item in store.list("none/")] == []
        assert len(list(store.list(""))) == 5

    def test_delete(self, store: Store) -> None:
        store.put("x", b"1")
        store.delete("x")
        assert not store.exists("x")

    def test_one_winner_when_many_put_new(self, store: Store) -> None:
        won = race(8, lambda number: store.put_new("race", str(number).encode()))
        assert len(won) == 1
        assert store.get("race") == str(won[0]).encode()

    def test_put_new_takes_a_file(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"from a file")
        assert store.put_new("new/file", tmp_path / "file")
        assert not store.put_new("new/file", tmp_path / "file")
        assert store.get("new/file") == b"from a file"

    def test_one_winner_when_many_replace_one_version(self, store: Store) -> None:
        tag = store.put_if("lease", b"nobody", None)
        assert tag is not None
        won = race(8, lambda number: store.put_if("lease", str(number).encode(), tag) is not None)
        assert len(won) == 1
        assert store.get("lease") == str(won[0]).encode()

    def test_one_winner_when_many_put_where_nothing_is(self, store: Store) -> None:
        won = race(8, lambda number: store.put_if("lease", str(number).encode(), None) is not None)
        assert len(won) == 1
        assert store.get("lease") == str(won[0]).encode()

    def test_put_if_goes_on_from_tag_to_tag(self, store: Store) -> None:
        assert store.get_tagged("lease") is None
        first = store.put_if("lease", b"one", None)
        assert first is not None
        assert store.get_tagged("lease") == Tagged(b"one", first)
        assert store.put_if("lease", b"again", None) is None
        second = store.put_if("lease", b"two", first)
        assert second not in (None, first)
        assert store.put_if("lease", b"stale", first) is None
        assert store.get("lease") == b"two"
        store.put("lease", b"three")
        assert store.put_if("lease", b"stale", second) is None
        known = store.get_tagged("lease")
        assert known is not None
        assert store.put_if("lease", b"four", known.tag) is not None

    def test_put_if_loses_where_the_object_is_gone(self, store: Store) -> None:
        tag = store.put_if("lease", b"one", None)
        store.delete("lease")
        assert store.put_if("lease", b"two", tag) is None
        assert not store.exists("lease")

    def test_a_listing_tells_when_an_object_was_written(self, store: Store) -> None:
        store.put("a", b"1")
        (found,) = store.list("")
        assert found.modified.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - found.modified) < timedelta(minutes=1)

    def test_a_file_that_is_not_there_cannot_be_put(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="some/key"):
            store.put("some/key", tmp_path / "missing")
        assert not store.exists("some/key")

    def test_an_object_keeps_its_name_as_a_file(self, store: Store) -> None:
        store.put("a/series.zarr.zip", b"")
        with store.local("a/series.zarr.zip") as path:
            assert path.name == "series.zarr.zip"
            assert path.read_bytes() == b""

    def test_what_goes_wrong_while_a_file_is_read_is_not_the_stores(self, store: Store) -> None:
        store.put("a", b"1")
        with pytest.raises(FileNotFoundError, match="the reader's own"), store.local("a"):
            raise FileNotFoundError("the reader's own")

    def test_counts_bytes_in_and_out(self, store: CountingStore, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x" * 1000)
        store.put("a", tmp_path / "file")
        store.put_new("b", b"12345")
        store.put_new("b", b"lost, so not counted")
        assert (store.bytes_in, store.bytes_out) == (1005, 0)
        store.get("b")
        with store.local("a"):
            pass
        assert (store.bytes_in, store.bytes_out) == (1005, 1005)

    @pytest.mark.parametrize(
        "key", ["../x", "/x", "a//b", "a/../b", ".hidden", "a/.b", "", "a b", "ä", "a/", "x" * 1000]
    )
    def test_keys_that_could_lead_elsewhere_are_refused(self, store: Store, key: str) -> None:
        with pytest.raises(StoreError, match="no key"):
            store.put(key, b"")
        with pytest.raises(StoreError, match="no key"):
            store.get(key)
        for call in (store.exists, store.delete, store.get_tagged):
            with pytest.raises(StoreError, match="no key"):
                call(key)
        with pytest.raises(StoreError, match="no key"):
            store.put_new(key, b"")
        with pytest.raises(StoreError, match="no key"):
            store.put_if(key, b"", None)
        with pytest.raises(StoreError, match="no key"), store.local(key):
            pass

    @settings(
        max_examples=30,
        deadline=None,
        # One store for all examples, and one test for several classes, is what is meant here.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(key=keys, content=st.binary(max_size=2000))
    def test_any_bytes_under_any_key(self, store: Store, key: str, content: bytes) -> None:
        store.put(f"any/{check_key(key)}/end", content)
        assert store.get(f"any/{key}/end") == content

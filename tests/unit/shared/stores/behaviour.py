"""What every store must do, specified once: a suite that each implementation's test class inherits."""

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landseries.errors import StoreError
from landseries.stores.base import Store, check_key

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
keys = st.lists(names, min_size=1, max_size=4).map("/".join)


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
        start = threading.Barrier(8)
        won: list[int] = []

        def race(number: int) -> None:
            start.wait()
            if store.put_new("race", str(number).encode()):
                won.append(number)

        threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.get("race") == str(won[0]).encode()

    @pytest.mark.parametrize(
        "key", ["../x", "/x", "a//b", "a/../b", ".hidden", "a/.b", "", "a b", "ä", "a/", "x" * 1000]
    )
    def test_keys_that_could_lead_elsewhere_are_refused(self, store: Store, key: str) -> None:
        with pytest.raises(StoreError, match="no key"):
            store.put(key, b"")
        with pytest.raises(StoreError, match="no key"):
            store.get(key)

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(key=keys, content=st.binary(max_size=2000))
    def test_any_bytes_under_any_key(self, store: Store, key: str, content: bytes) -> None:
        store.put(f"any/{check_key(key)}/end", content)
        assert store.get(f"any/{key}/end") == content

"""A bounded folder: what goes to make room, what it takes, and how it goes."""

from pathlib import Path

import pytest

from landseries_fetcher.bounded_folder import Entry, Trash, disk_bytes, make_room


@pytest.mark.parametrize(
    ("free_bytes", "in_use", "gone", "is_room"),
    [
        (0, "", "", True),
        (-1, "", "b", True),
        (-11, "", "bc", True),
        (-1, "b", "c", True),
        (-31, "", "bca", False),
        (-1, "abc", "", False),
    ],
)
def test_what_was_not_used_for_longest_goes_first(free_bytes: int, in_use: str, gone: str, is_room: bool) -> None:
    entries = [Entry(used_ns, Path(name), 10) for name, used_ns in (("a", 3), ("b", 1), ("c", 2))]
    removed: list[str] = []

    def remove(entry: Entry) -> bool:
        if entry.path.name in in_use:
            return False
        removed.append(entry.path.name)
        return True

    assert make_room(entries, free_bytes, remove) == is_room
    assert removed == list(gone)


def test_holes_and_links_take_no_space(tmp_path: Path) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    (tmp_path / "one" / "two" / "data").write_bytes(bytes(range(256)) * 1024)
    whole = disk_bytes(tmp_path)
    assert whole >= 256 * 1024
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert whole <= disk_bytes(tmp_path) < whole + 65_536
    assert disk_bytes(tmp_path / "none") == 0


def test_what_is_taken_is_gone_and_what_is_left_can_be_emptied(tmp_path: Path) -> None:
    (tmp_path / "trash" / "left" / "over").mkdir(parents=True)
    (tmp_path / "entry" / "below").mkdir(parents=True)
    trash = Trash(tmp_path / "trash")
    trash.take(tmp_path / "entry")
    assert not (tmp_path / "entry").exists()
    with pytest.raises(FileNotFoundError):
        trash.take(tmp_path / "entry")
    trash.empty()
    assert list((tmp_path / "trash").iterdir()) == []

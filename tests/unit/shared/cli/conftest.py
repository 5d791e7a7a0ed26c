"""The command line inside this process, as a person meets it: exit status and what is printed."""

import os
from collections.abc import Callable
from typing import NamedTuple

import pytest

from landseries.cli import main
from landseries.connections import BROKER_PREFIX, STORE_PREFIX


class Told(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Call = Callable[..., Told]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `landseries` with arguments, without any of this machine's connections."""
    for name in [name for name in os.environ if name.startswith((STORE_PREFIX, BROKER_PREFIX))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Told:
        monkeypatch.setattr("sys.argv", ["landseries", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        captured = capsys.readouterr()
        return Told(status, captured.out, captured.err)

    return run

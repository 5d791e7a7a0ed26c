"""Help texts: every command, argument and option says what it is for, and `--help` costs no heavy import."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from unit.shared.cli.conftest import Call

from landseries.cli import app
from landseries.pipeline import SERVICES

ROOT = typer.main.get_command(app)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """A command and all below it, by their names."""
    yield " ".join(path), command
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from commands(below, (*path, name))


COMMANDS = dict(commands(ROOT))


@pytest.mark.parametrize("path", COMMANDS)
def test_everything_says_what_it_is_for(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        text = getattr(parameter, "help", None)
        assert getattr(parameter, "hidden", False) or text, f"{path} {parameter.name}"


@pytest.mark.parametrize("path", COMMANDS)
def test_help_is_shown(call: Call, path: str) -> None:
    told = call(*path.split(), "--help")
    assert told.status == 0
    assert "Usage:" in told.out
    assert "None" not in told.out


def test_the_services_that_help_names_are_those_that_there_are(call: Call) -> None:
    text = " ".join(call("worker", "--help").out.split())
    for service in SERVICES:
        assert service in text


def test_the_commands_are_those_of_the_documentation() -> None:
    groups = {"topology": {"apply", "show", "definitions"}, "dead": {"list", "show", "redrive", "drop"}}
    for name, members in groups.items():
        assert {path.split()[1] for path in COMMANDS if path.startswith(f"{name} ")} == members
    assert {"submit", "status", "collect", "cancel", "sweep", "gc", "doctor", "worker", "run", "check"} <= set(COMMANDS)


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom landseries.cli import main\nsys.argv = ['landseries', 'worker', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([n for n in ('numpy', 'torch', 'boto3', 'pika', 'rasterio', 'minio') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"

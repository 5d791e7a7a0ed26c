"""What the commands share: consoles, and the arguments that several of them take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from landseries.errors import ConfigError

if TYPE_CHECKING:
    from landseries.plan import RunPlan
    from landseries.stores.base import Store

out: Final = Console(emoji=False)
err: Final = Console(stderr=True, emoji=False)

ConfigPath = Annotated[Path, typer.Argument(help="The run's configuration (YAML)", show_default=False)]
Workdir = Annotated[
    Path,
    typer.Option(help="Folder for artifacts, unfinished files and results; it can hold many runs, which share work"),
]
AnyStore = Annotated[
    Path | None,
    typer.Option(
        "--workdir",
        help="Look into this work folder of `landseries run`",
        show_default="the store that LANDSERIES_STORE_URL names, or else ./work",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Worker processes; results do not depend on their number", show_default="one per core"),
]
Health = Annotated[
    str | None,
    typer.Option(envvar="LANDSERIES_HEALTH", help="HOST:PORT for /healthz, /readyz and /metrics", show_default="none"),
]
LogJson = Annotated[
    bool | None, typer.Option("--log-json/--log-text", help="Form of the logs", show_default="text on a terminal")
]
RunName = Annotated[str, typer.Argument(help="The run's name", show_default=False)]


def printable(text: str) -> str:
    """A text in which nothing steers the terminal or begins a new line: what comes from messages may be hostile."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def say(text: str) -> None:
    """Print one line as it is."""
    out.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning to standard error."""
    err.print(f"[bold yellow]warning:[/] {text}", soft_wrap=True)


def chosen_store(workdir: Path | None) -> Store:
    """The store of a work folder; without one the store that the environment names, or else that of `./work`.

    Raises:
        ConfigError: there is no such work folder, or the environment is wrong.
    """
    from landseries.connections import STORE_PREFIX, store_connection
    from landseries.stores import open_store
    from landseries.stores.local import LocalStore

    if workdir is None and any(f"{STORE_PREFIX}{name}" in os.environ for name in ("URL", "BUCKET")):
        return open_store(store_connection())
    folder = Path("work") if workdir is None else workdir
    if not (folder / "store").is_dir():
        raise ConfigError(
            f"{folder}: holds no runs; give the folder of `landseries run` with --workdir, or set LANDSERIES_STORE_URL "
            "for the store of distributed runs"
        )
    return LocalStore(folder / "store")


def known_plan(store: Store, name: str) -> RunPlan:
    """The plan of a run.

    Raises:
        ConfigError: the store has no such run; the text names those that it has.
    """
    from landseries.plan import list_runs, read_plan

    plan = read_plan(store, name)
    if plan is None:
        raise ConfigError(f"there is no run {name!r} in this store; it has {', '.join(list_runs(store)) or 'none'}")
    return plan

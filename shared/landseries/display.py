"""What a person sees of a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from landseries.markers import Marker
from landseries.pipeline import Unit

_LINE_EVERY_S: Final = 5.0


@dataclass
class StageProgress:
    """How far a stage is: units answered before this start, since, and in all; those refused; and its rate."""

    total: int = 0
    before: int = 0
    since: int = 0
    refused: int = 0
    reused: int = 0
    first: float | None = None
    last: float = 0.0

    @property
    def answered(self) -> int:
        """Units answered so far."""
        return self.before + self.since

    def add(self, marker: Marker) -> None:
        """Count one answered unit."""
        now = time.monotonic()
        self.first = now - marker.seconds if self.first is None else self.first
        self.last = now
        self.since += 1
        self.refused += marker.status != "done"
        self.reused += marker.reused

    def rate_per_s(self) -> float | None:
        """Units per second since this start; None before the first."""
        if self.first is None or self.since == 0:
            return None
        return self.since / max(self.last - self.first, 1e-3)

    def left_s(self) -> float | None:
        """Seconds left at the present rate; None where it cannot be said."""
        rate = self.rate_per_s()
        return None if rate is None else (self.total - self.answered) / rate


@dataclass
class ProgressDisplay:
    """A watcher of an embedded run that shows it on a console."""

    console: Console
    stages: dict[str, StageProgress] = field(default_factory=dict)
    _live: Live | None = None
    _told: dict[str, float] = field(default_factory=dict)
    _note: str = ""

    @contextmanager
    def showing(self) -> Iterator[ProgressDisplay]:
        """Keep a live table on the terminal while the context is open."""
        if not self.console.is_terminal:
            yield self
            return
        with Live(get_renderable=self.table, console=self.console, refresh_per_second=4) as live:
            self._live = live
            yield self

    def begin(self, totals: dict[str, int], answered: dict[str, int]) -> None:
        """See `landseries.embedded.Watcher`."""
        self.stages = {stage: StageProgress(total, answered[stage]) for stage, total in totals.items()}
        if any(answered.values()):
            self.console.print(f"going on: {sum(answered.values())} units were answered before")

    def total(self, stage: str, units: int) -> None:
        """See `landseries.embedded.Watcher`."""
        self.stages[stage].total = units

    def answered(self, unit: Unit, marker: Marker) -> None:
        """See `landseries.embedded.Watcher`."""
        progress = self.stages[unit.stage]
        progress.add(marker)
        progress.total = max(progress.total, progress.answered)
        if marker.status != "done":
            text = f"[yellow]{marker.status}[/] {unit.name}: {escape(marker.reason)}"
            self.console.print(text, highlight=False, soft_wrap=True)
        if self._live is None:
            self._line(unit.stage, progress)

    def note(self, text: str) -> None:
        """See `landseries.embedded.Watcher`."""
        self._note = text
        if self._live is None or " failed: " in text:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def table(self) -> Table:
        """The live table: per stage done/total, rate, and time left."""
        table = Table(box=None, pad_edge=False)
        for heading in ("stage", "", "done", "rate", "left"):
            table.add_column(heading, justify="left" if heading in ("stage", "") else "right")
        for stage, progress in self.stages.items():
            share = progress.answered / progress.total if progress.total else 0.0
            bar = "━" * round(20 * share) + "[dim]" + "─" * (20 - round(20 * share)) + "[/]"
            left = progress.left_s()
            rate = progress.rate_per_s()
            table.add_row(
                stage,
                bar,
                f"{progress.answered}/{progress.total}"
                + (f" [yellow]({progress.refused})[/]" if progress.refused else ""),
                "" if rate is None else _rate(rate),
                "" if left is None or not left else duration(left),
            )
        table.caption = self._note
        return table

    def _line(self, stage: str, progress: StageProgress) -> None:
        """One plain line per stage, every few seconds and at its end."""
        now = time.monotonic()
        finished = progress.answered >= progress.total
        if not finished and now - self._told.get(stage, -_LINE_EVERY_S) < _LINE_EVERY_S:
            return
        self._told[stage] = now
        left, rate = progress.left_s(), progress.rate_per_s()
        parts = [f"{stage} {progress.answered}/{progress.total}"]
        parts += [] if rate is None else [_rate(rate)]
        parts += [] if not left else [f"{duration(left)} left"]
        parts += [f"{progress.reused} reused"] if progress.reused else []
        parts += [f"{progress.refused} refused or empty"] if progress.refused else []
        self.console.print(", ".join(parts), highlight=False, soft_wrap=True)


@contextmanager
def counting(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show (done, total) of one kind of thing: a bar on a terminal, a line every few seconds elsewhere."""
    last = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            console.print(f"{what} {done}/{total}", highlight=False)

    if not console.is_terminal:
        yield line
        return
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def byte_text(size_bytes: float) -> str:
    """Bytes as people say them: 512 B, 3.4 MiB, 1.2 TiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"

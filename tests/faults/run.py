"""The fault run: `python -m tests.faults.run --seeds 1 2 3 4 5`.

A distributed run over a simulated archive, on a RabbitMQ and a MinIO of its own, while workers get SIGKILL, the broker
is restarted, the store goes away, messages come twice and in another order, and connections are cut. Afterwards every
artifact must have the bytes of an undisturbed embedded run, every unit its answer, and nothing may be left behind:
no message, no dead letter, no lease, no process.

    schedule.py   what goes wrong when, drawn from the seed
    reference.py  the undisturbed run
    world.py      the servers, and what happens to them
    workers.py    the workers, killed and started again
    chaos.py      messages twice, and in another order
    checks.py     whether it came out as if nothing had happened

It prints a line per seed and ends with status 1 where one failed; the folder of a seed that failed is kept.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from tests.faults.checks import differences, leases_kept, left_at_the_broker, repaired
from tests.faults.reference import Answers, answers, prepare, undisturbed
from tests.faults.schedule import Amount, draw
from tests.faults.world import World

_LOOK_S: Final = 0.5
_TROUBLES: Final = 30


@dataclass(frozen=True)
class Task:
    """What every seed shares: the configuration, what it should answer, and how hard it is."""

    config: Path
    reference: Answers
    amount: Amount
    copies: int
    limit_s: float


class Stuck(Exception):
    """The run did not come to its end in time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds in turn; returns the exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL)  # that servers are away is what this is about
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="landseries-faults-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    config = prepare(folder, given.archive, size_px=given.size_px, tile_px=given.tile_px)
    reference = undisturbed(config, folder / "undisturbed")
    _say(
        f"undisturbed: {len(reference.units)} units, {len(reference.artifacts)} artifacts, "
        f"{time.monotonic() - started:.0f} s with the archive"
    )
    amount = Amount(
        given.kills, given.broker_restarts, given.store_stops, given.store_stop_s, given.duplicates, given.cuts
    )
    task = Task(config, reference, amount, given.copies, given.limit_s)
    failed = [seed for seed in given.seeds if not _one(folder / f"seed-{seed}", seed, task)]
    if failed:
        _say(f"failed: seeds {', '.join(map(str, failed))}; what they left is in {folder}")
        return 1
    if given.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _one(folder: Path, seed: int, task: Task) -> bool:
    """One seed; whether it came out well."""
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    problems: list[str] = []
    with World(folder, task.reference, random.Random(seed), task.copies) as world:
        try:
            world.submit(task.config)
            _disturb(world, seed, task.amount, started + task.limit_s)
            _await_end(world, started + task.limit_s)
            problems += _problems(world, task)
        except (Stuck, RuntimeError, OSError) as error:
            problems.append(f"{type(error).__name__}: {error}")
            problems += _situation(world)
        line = _line(world, time.monotonic() - started)
    _say(f"seed {seed}: {line} {'FAILED' if problems else 'OK'}")
    for problem in problems:
        _say(f"  {problem}")
    if not problems:
        shutil.rmtree(folder, ignore_errors=True)
    return not problems


def _disturb(world: World, seed: int, amount: Amount, deadline: float) -> None:
    """Let everything happen that the seed has drawn, while the run goes on."""
    last = time.monotonic()
    for fault in draw(seed, amount):
        while (progress := world.progress()) < fault.at and time.monotonic() < last + fault.patience_s:
            if time.monotonic() > deadline:
                raise Stuck(f"only {progress:.0%} of the work is done when the time is over")
            time.sleep(_LOOK_S)
        if world.answered():
            raise Stuck("the run was faster than its faults: make it longer (--tile-px), or have fewer of them")
        world.happen(fault)
        last = time.monotonic()
    world.settle()


def _await_end(world: World, deadline: float) -> None:
    while True:
        world.progress()
        if world.answered() and world.idle():
            return
        if time.monotonic() > deadline:
            raise Stuck("the run is not complete when the time is over")
        if world.dead_letters():
            raise Stuck("messages were put aside")
        time.sleep(_LOOK_S)


def _problems(world: World, task: Task) -> list[str]:
    """Everything that is not as it should be at the end."""
    found = list(chain(leases_kept(world.store), repaired(world.store)))
    left = world.workers.stop()
    if left:
        found.append(f"worker processes are left: {left}")
    found += differences(answers(world.store), task.reference)
    found += left_at_the_broker(world.broker)
    short = [
        f"{name}: {done} of {wanted}"
        for name, done, wanted in (
            ("kills", world.workers.kills, task.amount.kills),
            ("broker restarts", world.broker_restarts, task.amount.broker_restarts),
            ("store stops", world.store_stops, task.amount.store_stops),
            ("duplicates", world.chaos.duplicates, task.amount.duplicates),
        )
        if done < wanted
    ]
    if short:
        found.append(f"not all faults happened: {'; '.join(short)}")
    return found


def _situation(world: World) -> list[str]:
    """What one wants to know of a run that is stuck."""
    missing = world.missing()
    found = [f"units without a marker: {len(missing)}: {', '.join(unit.name for unit in missing[:20])}"]
    found += [f"at the broker: {world.depths()}", f"workers with a unit in hand: {world.workers.busy()}"]
    troubles = [entry for entry in world.workers.events() if entry.get("level") in ("warning", "error", "critical")]
    troubles.sort(key=lambda entry: str(entry.get("time", "")))
    found += [str(entry)[:600] for entry in troubles[-_TROUBLES:]]
    return found


def _line(world: World, seconds: float) -> str:
    ends = sum(world.workers.own_ends.values())
    return (
        f"{world.workers.kills} kills, {world.broker_restarts} broker restarts, {world.store_stops} store stops, "
        f"{world.chaos.duplicates} duplicates, {world.chaos.reordered} reordered, {world.cuts} cuts "
        f"({world.connections_cut} connections), {ends} workers ended by themselves, "
        f"{world.redeliveries} redeliveries seen, {world.workers.computed_again()} units computed more than once, "
        f"{seconds:.0f} s"
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=(__doc__ or "").split("\n\n")[1])
    amount = Amount()
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="a run each")
    parser.add_argument("--kills", type=int, default=amount.kills)
    parser.add_argument("--broker-restarts", type=int, default=amount.broker_restarts)
    parser.add_argument("--store-stops", type=int, default=amount.store_stops)
    parser.add_argument("--store-stop-s", type=float, default=amount.store_stop_s)
    parser.add_argument("--duplicates", type=int, default=amount.duplicates)
    parser.add_argument("--cuts", type=int, default=amount.cuts)
    parser.add_argument("--copies", type=int, default=1, help="workers of each service")
    parser.add_argument("--archive", type=Path, help="a simulated archive, instead of simulating one")
    parser.add_argument("--size-px", type=int, default=256, help="side of the area to simulate")
    parser.add_argument("--tile-px", type=int, default=64, help="side of a tile: smaller ones make a longer run")
    parser.add_argument("--limit-s", type=float, default=1200, help="after which a seed has failed")
    parser.add_argument("--folder", type=Path, help="for everything that is written; kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())

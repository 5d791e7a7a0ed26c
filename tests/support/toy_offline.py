"""What a job's folder asks for, done by toy handlers: stands where `landseries` does in a site's command.

Called as `python -m support.toy_offline offline FOLDER --units FILE ...`. The environment tells how: TOY_JOURNAL (see
`toy_worker`), TOY_STEPS and TOY_STEP_S of long units, TOY_FAILING (a file; each line of it is a unit that fails while
it is there) and TOY_REFUSED (a unit that is refused).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from landseries.errors import Refused
from landseries.offline import read_units
from landseries.service import Context
from landseries.stores.local import LocalStore
from landseries.worker import Worker

from .toy_services import toy_services
from .toy_worker import Stepper


def main() -> int:
    """Do the units; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["offline"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--units", type=Path, required=True)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    journal = Path(os.environ["TOY_JOURNAL"])
    leaked = [name for name in os.environ if name.startswith(("LANDSERIES_STORE_", "LANDSERIES_BROKER_"))]
    journal.with_suffix(".leaked").write_text("\n".join(leaked))
    step = Stepper(journal, int(os.environ.get("TOY_STEPS", "1")), float(os.environ.get("TOY_STEP_S", "0")))
    failing = Path(os.environ.get("TOY_FAILING", "/nowhere"))

    def run(context: Context) -> None:
        if failing.exists() and context.unit.name in failing.read_text().splitlines():
            raise ValueError(f"{context.unit.name} was told to fail")
        if context.unit.name == os.environ.get("TOY_REFUSED"):
            raise Refused("was told to be refused")
        for inputs in context._inputs.values():
            for item in inputs:
                for name in item.marker.outputs:
                    with context.local(item, name):
                        pass
        step(context)

    worker = Worker(LocalStore(given.folder / "store"), given.folder / "scratch", services=toy_services(run))
    status = 0
    for message in read_units(given.units).messages:
        try:
            worker.process(message)
        except ValueError as error:
            print(f"not done: {error}", flush=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())

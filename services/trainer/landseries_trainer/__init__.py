"""The trainer: one network over all years, or one per year, from a model's table of annual series."""

from __future__ import annotations

from landseries.service import Context, Handler, Service


def _train(context: Context) -> None:
    # PyTorch loads with the first unit, not with the command line.
    from landseries_trainer.handlers import train

    train(context)


SERVICE = Service("trainer", {"train": Handler(_train)})

"""The mapper: a trained network applied to every pixel and year of a tile, and where its maps change."""

from __future__ import annotations

from landseries.service import Context, Handler, Service


def _map(context: Context) -> None:
    # PyTorch and numba load with the first unit, not with the command line.
    from landseries_mapper.handlers import map_tile

    map_tile(context)


SERVICE = Service("mapper", {"map": Handler(_map)})

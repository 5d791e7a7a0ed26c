"""The indexer: irregular clear views become regular series of bands and spectral indices."""

from landseries.service import Context, Handler, Service


def _index(context: Context) -> None:
    from landseries_indexer.handlers import index

    index(context)


SERVICE = Service("indexer", {"index": Handler(_index)})

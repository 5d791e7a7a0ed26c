"""The clusterer: which pixels of an existing, generalised and partly outdated map can be believed.

Two steps (Paris, Bruzzone and Fernández-Prieto, IEEE TGRS 57(7), 2019): `cluster` keeps the dominant K-means cluster
of every polygon part; `classes` fits each class's distribution over all tiles, and `reliable` holds parts and pixels
against it.
"""

from __future__ import annotations

from landseries.service import Context, Handler, Service


def _cluster(context: Context) -> None:
    from landseries_clusterer.handlers import cluster

    cluster(context)


def _classes(context: Context) -> None:
    from landseries_clusterer.handlers import classes

    classes(context)


def _reliable(context: Context) -> None:
    from landseries_clusterer.handlers import reliable

    reliable(context)


SERVICE = Service(
    "clusterer", {"cluster": Handler(_cluster), "classes": Handler(_classes), "reliable": Handler(_reliable)}
)

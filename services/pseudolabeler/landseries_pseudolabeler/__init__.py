"""The pseudo-labeler: the Random Forest of the training year, and the labels that it gives every year."""

from landseries.service import Context, Handler, Service


def _forest(context: Context) -> None:
    from landseries_pseudolabeler.handlers import forest

    forest(context)


def _pseudolabel(context: Context) -> None:
    from landseries_pseudolabeler.handlers import pseudolabel

    pseudolabel(context)


SERVICE = Service("pseudolabeler", {"forest": Handler(_forest), "pseudolabel": Handler(_pseudolabel)})

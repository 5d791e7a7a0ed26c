"""How many samples each class gives: equal shares where they exist, and a known total where it can be met."""

from __future__ import annotations

from collections.abc import Mapping


def equal_quotas(available: Mapping[int, int], total: int) -> dict[int, int]:
    """Share a total out over classes as equally as their numbers allow.

    A class with fewer pixels than an equal share gives all it has; what it lacks is shared out equally over the
    others. Pixels left over by the division go to the classes with the smallest ids. So no two classes that still have
    pixels to give differ by more than one.

    Args:
        available: pixels of each class.
        total: pixels wanted over all classes.

    Returns:
        Pixels to take of each class, in ascending order of class; they add up to the total, or to all that there is.
    """
    quotas: dict[int, int] = {}
    left = total
    poorest_first = sorted(available, key=lambda class_id: (available[class_id], class_id))
    for position, class_id in enumerate(poorest_first):
        share = left // (len(poorest_first) - position)
        if available[class_id] > share:
            rich = sorted(poorest_first[position:])
            quotas |= {other: share + (rank < left - share * len(rich)) for rank, other in enumerate(rich)}
            break
        quotas[class_id] = available[class_id]
        left -= available[class_id]
    return dict(sorted(quotas.items()))

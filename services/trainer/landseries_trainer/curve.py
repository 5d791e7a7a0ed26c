"""The training curve: what is measured after each epoch, and which epoch's weights are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EpochMetrics:
    """Measures of one epoch.

    Attributes:
        loss: Mean training loss over the epoch, with dropout, augmentation and label smoothing.
        validation_loss: Mean cross entropy on the validation set, without any of these.
        accuracy: Share of the validation series that get their label.
        macro_f1: F1 on the validation set, averaged over the classes that occur there.
    """

    loss: float
    validation_loss: float
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class TrainingCurve:
    """The epochs of a training, in order.

    Attributes:
        epochs: Measures of each.
        ignored_validation: Validation series left out because their class does not occur in training.
    """

    epochs: tuple[EpochMetrics, ...] = ()
    ignored_validation: int = field(default=0)

    @property
    def best_epoch(self) -> int:
        """Index of the epoch whose weights are kept: highest macro-F1, of equals the lowest loss, then the first."""
        return max(range(len(self.epochs)), key=lambda k: (_score(self.epochs[k]), -k))

    def with_epoch(self, metrics: EpochMetrics) -> TrainingCurve:
        """The curve one epoch later."""
        return TrainingCurve((*self.epochs, metrics), self.ignored_validation)

    def has_stalled(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought nothing better."""
        return len(self.epochs) > 0 and len(self.epochs) - 1 - self.best_epoch >= patience

    def to_json(self) -> dict[str, object]:
        """Plain values, for the report and for checkpoints."""
        return {
            "epochs": [asdict(one) for one in self.epochs],
            "best_epoch": self.best_epoch if self.epochs else None,
            "ignored_validation": self.ignored_validation,
        }


def measure(loss: float, log_probabilities: NDArray[np.float32], targets: NDArray[np.int64]) -> EpochMetrics:
    """Measures of an epoch from the validation set.

    Args:
        loss: Mean training loss.
        log_probabilities: (n, classes) float32.
        targets: (n,) index of the true class.
    """
    count, classes = log_probabilities.shape
    predicted = log_probabilities.argmax(axis=1)
    true_positive = np.bincount(targets[predicted == targets], minlength=classes)
    occurs = np.bincount(targets, minlength=classes)
    total = occurs + np.bincount(predicted, minlength=classes)
    f1 = 2 * true_positive[occurs > 0] / total[occurs > 0]
    own = log_probabilities[np.arange(count), targets].astype(np.float64)
    return EpochMetrics(
        loss=loss,
        validation_loss=float(-own.mean()),
        accuracy=float((predicted == targets).mean()),
        macro_f1=float(f1.mean()),
    )


def _score(metrics: EpochMetrics) -> tuple[float, float]:
    return (metrics.macro_f1, -metrics.validation_loss)

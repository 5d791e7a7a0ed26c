"""Settings of the trainer: the network and how it is trained."""

from __future__ import annotations

from landseries.settings.base import Settings, ours


class TrainSettings(Settings):
    """One LSTM over an annual series."""

    hidden: int = ours(64, "Hidden units", ge=4, le=1024)
    layers: int = ours(1, "LSTM layers", ge=1, le=4)
    dropout: float = ours(0.2, "Dropout before the classification", ge=0, lt=1)
    epochs: int = ours(40, "Epochs at most", ge=1, le=1000)
    patience: int = ours(8, "Stop after so many epochs without a better validation score", ge=1)
    batch_size: int = ours(256, "Series in a batch", ge=8)
    learning_rate: float = ours(1e-2, "Highest learning rate", gt=0, lt=1)
    date_drop: float = ours(
        0.2, "Share of dates hidden at random in training, so that other gaps can be read", ge=0, lt=1
    )
    weight_decay: float = ours(1e-3, "Weight decay of AdamW", ge=0, lt=1)
    label_smoothing: float = ours(0.05, "Label smoothing", ge=0, lt=1)


class TrainerSettings(Settings):
    """Training."""

    train: TrainSettings = TrainSettings()

"""Settings of the sampler: which pixels the networks are trained on."""

from __future__ import annotations

from landseries.settings.base import Settings, ours, paper


class SampleSettings(Settings):
    """Candidates of one tile."""

    candidates_per_class: int = ours(
        2_000, "Candidates of a tile at most, for each class, stratum and part (training, validation)", ge=10
    )
    min_probability: float = ours(
        0.0, "Leave out pixels whose pseudo-label has a lower probability in a year that is sampled", ge=0, le=1
    )


class DatasetSettings(Settings):
    """The stratified sample of the region; a sample is a pixel."""

    training_samples: int = paper(24_000, "Training pixels, equal per class where they exist", ge=20)
    validation_samples: int = paper(12_000, "Validation pixels, equal per class where they exist", ge=10)


class SamplerSettings(Settings):
    """Candidates per tile and the region's sample."""

    sample: SampleSettings = SampleSettings()
    dataset: DatasetSettings = DatasetSettings()

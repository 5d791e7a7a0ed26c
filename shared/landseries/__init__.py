"""landseries: consistent annual land-cover maps from Sentinel-2 time series and an existing map."""

__version__ = "0.1.0"

"""The indexer: irregular clear views become regular series of bands and spectral indices."""

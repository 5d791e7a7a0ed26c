"""Broker, store and workers on one machine, as processes: what `landseries up` runs, and what the tests talk to."""

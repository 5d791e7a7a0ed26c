"""The acquisition calendar of a run, from what its searches answered: read, printed, and drawn on a page."""

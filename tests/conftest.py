"""Settings of all tests: property tests have no deadline (machines are shared), and in CI they are reproducible."""

import os

from hypothesis import settings

settings.register_profile("landseries", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "landseries")

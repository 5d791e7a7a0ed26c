"""Settings of all tests: property tests have no deadline (machines are shared), and in CI they are reproducible.

Tests that may take longest are begun first, so that no process is left alone with them at the end; those of one xdist
group stay on one process.
"""

import os
import sys

import pytest
from hypothesis import settings

# So that a failed check in there shows the values, as one in a test does.
pytest.register_assert_rewrite("support")

settings.register_profile("landseries", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "landseries")

#: Markers of tests that are long, though they have no time limit of their own.
_LONG = ("science", "end_to_end", "faults", "packaging", "integration")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort by time limits, and see that xdist has understood the groups: there were versions that silently had not."""
    if config.getoption("loadgroup", False):
        forgotten = [item.nodeid for item in items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        if forgotten:
            # xdist tells of a process that ended, and not why.
            with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                print(f"xdist does not keep groups together: {forgotten[0]} and others", file=sys.stderr)
            raise pytest.UsageError("xdist does not keep groups together")
    items.sort(key=_expected, reverse=True)


def _expected(item: pytest.Item) -> tuple[float, bool]:
    limit = item.get_closest_marker("timeout")
    limit_s = float(limit.args[0]) if limit else float(item.config.getini("timeout"))
    return limit_s, any(item.get_closest_marker(name) for name in _LONG)

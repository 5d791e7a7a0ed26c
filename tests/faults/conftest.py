"""The simulated archive that all tests of a session share."""

from support.server_fixtures import session_folder
from support.shared_run import small_archive

__all__ = ["session_folder", "small_archive"]

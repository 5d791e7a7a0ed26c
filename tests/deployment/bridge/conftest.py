"""Real servers and a real Slurm for these tests."""

import pytest
from support.server_fixtures import bare_vhost, bucket, minio_server, rabbit_server, session_folder, vhost
from support.slurm import need_slurm

__all__ = ["bare_vhost", "bucket", "minio_server", "rabbit_server", "session_folder", "vhost"]


@pytest.fixture(scope="session", autouse=True)
def _slurm() -> None:
    need_slurm()

"""Real servers for these tests, one set for the whole session, a virtual host and a bucket for each; the small run."""

from support.server_fixtures import bare_vhost, bucket, minio_server, rabbit_server, session_folder, vhost
from support.shared_run import small_archive, small_run_done

__all__ = [
    "bare_vhost",
    "bucket",
    "minio_server",
    "rabbit_server",
    "session_folder",
    "small_archive",
    "small_run_done",
    "vhost",
]

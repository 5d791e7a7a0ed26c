"""Real servers for these tests: one set for the whole session, and a virtual host and a bucket for each test."""

from support.server_fixtures import bare_vhost, bucket, minio_server, rabbit_server, session_folder, vhost

__all__ = ["bare_vhost", "bucket", "minio_server", "rabbit_server", "session_folder", "vhost"]

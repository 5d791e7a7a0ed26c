"""A RabbitMQ and a MinIO of one's own, on 127.0.0.1: each in a folder, which remembers its ports and secrets."""

from landseries.local.minio import MinioServer
from landseries.local.rabbit import RabbitServer
from landseries.local.server import Server

__all__ = ["MinioServer", "RabbitServer", "Server"]

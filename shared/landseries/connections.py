"""Where the broker and the store are, and the secrets that open them: from the environment, or from files it names.

Secrets have no place in a run's configuration: whatever is there becomes part of the plan, which anyone with the
store can read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from landseries.errors import ConfigError
from landseries.settings.base import spelled

_SettingsT = TypeVar("_SettingsT", bound=BaseSettings)

STORE_PREFIX: Final = "LANDSERIES_STORE_"
BROKER_PREFIX: Final = "LANDSERIES_BROKER_"


class _Connection(BaseSettings):
    url: str

    @property
    def unset(self) -> str:
        """What errors say behind an address that nobody gave, which is the default; nothing where it was given."""
        return "" if "url" in self.model_fields_set else f" ({self.model_config.get('env_prefix')}URL is not set)"


class StoreConnection(_Connection):
    """LANDSERIES_STORE_...: a bucket of MinIO or of another S3 service, or a folder that every worker sees."""

    model_config = SettingsConfigDict(env_prefix=STORE_PREFIX, frozen=True, extra="ignore")

    url: Annotated[
        str, Field(description="http(s)://HOST[:PORT] of an S3 service, or file:///FOLDER shared by all workers")
    ] = "http://localhost:9000"
    bucket: Annotated[
        str,
        spelled(
            r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "write 3 to 63 characters, of a-z, 0-9, . and -, such as landseries"
        ),
        Field(description="Bucket"),
    ] = "landseries"
    region: Annotated[str, Field(description="Region that the service expects")] = "us-east-1"
    access_key: Annotated[SecretStr | None, Field(description="Access key (or ..._ACCESS_KEY_FILE)")] = None
    secret_key: Annotated[SecretStr | None, Field(description="Secret key (or ..._SECRET_KEY_FILE)")] = None
    ca_file: Annotated[Path | None, Field(description="Certificates to trust instead of the system's")] = None
    path_style: Annotated[bool, Field(description="Bucket in the path, as MinIO expects; false: in the host")] = True
    patience_s: Annotated[float, Field(ge=0, description="How long one call keeps trying while the store is away")] = 60

    @field_validator("url")
    @classmethod
    def _is_a_store(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
            return url
        if _is_address(parts, ("http", "https")):
            return url.rstrip("/")
        raise ValueError(
            "write http://HOST:PORT, https://HOST:PORT or file:///FOLDER; keys belong into the other fields"
        )

    @property
    def folder(self) -> Path | None:
        """The folder of a file URL."""
        parts = urlsplit(self.url)
        return Path(parts.path) if parts.scheme == "file" else None


class BrokerConnection(_Connection):
    """LANDSERIES_BROKER_...: a virtual host of RabbitMQ."""

    model_config = SettingsConfigDict(env_prefix=BROKER_PREFIX, frozen=True, extra="ignore")

    url: Annotated[str, Field(description="amqp(s)://HOST[:PORT]; several, separated by commas, are tried in turn")] = (
        "amqp://localhost:5672"
    )
    vhost: Annotated[str, Field(min_length=1, description="Virtual host")] = "/"
    user: Annotated[str, Field(description="User")] = "guest"
    password: Annotated[SecretStr, Field(description="Password (or ..._PASSWORD_FILE)")] = SecretStr("guest")
    ca_file: Annotated[Path | None, Field(description="Certificates to trust instead of the system's")] = None
    certificate_file: Annotated[Path | None, Field(description="Client certificate, where the broker wants one")] = None
    key_file: Annotated[Path | None, Field(description="Key of the client certificate")] = None
    heartbeat_s: Annotated[int, Field(ge=5, le=600, description="Heartbeat; a dead peer is noticed in twice that")] = 60
    management_url: Annotated[
        str | None,
        Field(description="http(s)://HOST[:PORT] of the management API, for `topology` and `doctor`"),
    ] = None

    @field_validator("url")
    @classmethod
    def _are_brokers(cls, url: str) -> str:
        for one in url.split(","):
            if not _is_address(urlsplit(one.strip()), ("amqp", "amqps")):
                raise ValueError("write amqp://HOST:PORT or amqps://HOST:PORT; user and vhost have fields of their own")
        return url

    @field_validator("management_url")
    @classmethod
    def _is_an_api(cls, url: str | None) -> str | None:
        if url is not None and not _is_address(urlsplit(url)._replace(path=""), ("http", "https")):
            raise ValueError("write http://HOST:PORT or https://HOST:PORT; user and password are those of the broker")
        return url

    @property
    def urls(self) -> list[str]:
        """The brokers, in the order in which they are tried."""
        return [one.strip() for one in self.url.split(",")]


def store_connection() -> StoreConnection:
    """Where the store is.

    Raises:
        ConfigError: a variable has a wrong value, or names a file that cannot be read.
    """
    return _read(StoreConnection, STORE_PREFIX, ("access_key", "secret_key"))


def broker_connection() -> BrokerConnection:
    """Where the broker is.

    Raises:
        ConfigError: a variable has a wrong value, or names a file that cannot be read.
    """
    return _read(BrokerConnection, BROKER_PREFIX, ("password",))


def _is_address(parts: SplitResult, schemes: tuple[str, ...]) -> bool:
    """Whether a URL is a host and perhaps a port, and nothing that could hold a secret.

    Raises:
        ValueError: the port is no number, or out of range.
    """
    _ = parts.port
    bare = "@" not in parts.netloc and parts.path in ("", "/") and not parts.query and not parts.fragment
    return bare and parts.scheme in schemes and bool(parts.hostname)


def _read(model: type[_SettingsT], prefix: str, secrets: tuple[str, ...]) -> _SettingsT:
    given: dict[str, Any] = {}
    for name in secrets:
        variable = f"{prefix}{name}_file".upper()
        if path := os.environ.get(variable):
            try:
                given[name] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigError(f"{variable}: {path} cannot be read ({error}); it must hold the secret") from None
            except UnicodeDecodeError:
                # The error's own text would show a part of the secret.
                raise ConfigError(f"{variable}: {path} is no text in UTF-8; it must hold the secret") from None
            if not given[name]:
                raise ConfigError(f"{variable}: {path} is empty; it must hold the secret")
    try:
        return model(**given)
    except ValidationError as error:
        # The input is left out of the text: it may be a secret.
        lines = [f"{prefix}{item['loc'][0]!s}".upper() + f": {item['msg']}" for item in error.errors()]
        raise ConfigError("\n".join(lines).replace("Value error, ", "")) from None

"""Who may do what at the broker: a user per service, one of the bridge, one operator, each with the least rights."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from landseries.brokers.names import (
    DEAD_EXCHANGE,
    OPERATOR,
    RETRY_DELAYS_S,
    WORK_EXCHANGE,
    dead_queue,
    retry_exchange,
    services_of,
    stages_after,
    users,
    work_queue,
)
from landseries.errors import ConfigError
from landseries.pipeline import SERVICES, STAGES, stages_of

#: A pattern that no name matches; RabbitMQ reads the empty pattern in the same way.
_NOTHING: Final = "^$"
_HASHING: Final = "rabbit_password_hashing_sha256"
_PASSWORD_PREFIX: Final = "LANDSERIES_BROKER_PASSWORD_"


def read_passwords(folder: Path | None = None, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Passwords of the topology's users, by user.

    Args:
        folder: holds one file per user, named like the user (`landseries-indexer`), with the password in it.
        environment: where LANDSERIES_BROKER_PASSWORD_INDEXER and so on may be; files go first.

    Raises:
        ConfigError: a file cannot be read, or holds no password, or the folder has none of the users' files.
    """
    environment = os.environ if environment is None else environment
    if folder is not None and not any((folder / user).exists() for user in users()):
        # Nothing would be changed, and the old passwords would stay valid.
        raise ConfigError(f"{folder} holds no file for any of {', '.join(users())}; name each like its user")
    found = {}
    for user in users():
        variable = _PASSWORD_PREFIX + user.removeprefix("landseries-").upper()
        path = folder / user if folder else None
        if path is not None and path.exists():
            found[user] = _password_in(path)
        elif environment.get(variable):
            found[user] = environment[variable]
    return found


def permissions(user: str) -> dict[str, str]:
    """Patterns of what a user may configure, write to and read from."""
    if user == OPERATOR:
        return {"configure": _NOTHING, "write": _any_of([WORK_EXCHANGE]), "read": _any_of(map(dead_queue, SERVICES))}
    return {
        "configure": _NOTHING,
        "write": _any_of([WORK_EXCHANGE, DEAD_EXCHANGE, *map(retry_exchange, RETRY_DELAYS_S)]),
        "read": _any_of(map(work_queue, services_of(user))),
    }


def topic_permissions(user: str) -> dict[str, dict[str, str]]:
    """Patterns of the routing keys that a user may write to and read from, by topic exchange."""
    if user == OPERATOR:
        return {WORK_EXCHANGE: {"write": _any_of(STAGES), "read": _NOTHING}}
    services = services_of(user)
    own = {"write": _any_of(stage for service in services for stage in stages_of(service)), "read": _NOTHING}
    after = dict.fromkeys(stage for service in services for stage in stages_after(service))
    return {
        WORK_EXCHANGE: {"write": _any_of(after), "read": _NOTHING},
        **{retry_exchange(delay_s): own for delay_s in RETRY_DELAYS_S},
    }


def definitions_of_users(passwords: Mapping[str, str], vhost: str) -> dict[str, list[dict[str, Any]]]:
    """The users with a password and their rights, as RabbitMQ's definitions hold them.

    Raises:
        ConfigError: a password is for no user of the topology, or empty.
    """
    for user, password in passwords.items():
        if user not in users():
            raise ConfigError(f"there is no user {user!r}: the topology has {', '.join(users())}")
        if not password:
            raise ConfigError(f"the password of {user} is empty")
    named = [user for user in users() if user in passwords]
    return {
        "users": [
            {
                "name": user,
                "password_hash": password_hash(passwords[user]),
                "hashing_algorithm": _HASHING,
                # The operator sees depths of queues through the management API; workers have no business there.
                "tags": ["management"] if user == OPERATOR else [],
            }
            for user in named
        ],
        "permissions": [{"user": user, "vhost": vhost, **permissions(user)} for user in named],
        "topic_permissions": [
            {"user": user, "vhost": vhost, "exchange": exchange, **patterns}
            for user in named
            for exchange, patterns in topic_permissions(user).items()
        ],
    }


def password_hash(password: str, salt: bytes | None = None) -> str:
    """A salted SHA-256 as RabbitMQ keeps it: base64 of the salt (4 bytes) and the digest.

    Source: RabbitMQ, "Credentials and Passwords", "Computing Password Hashes".
    """
    salt = os.urandom(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def same_password(password: str, known: Mapping[str, Any]) -> bool:
    """Whether a user as the broker tells it has a password, without asking the broker to try."""
    try:
        salt = base64.b64decode(str(known.get("password_hash", "")), validate=True)[:4]
    except ValueError:
        return False
    return known.get("hashing_algorithm") == _HASHING and password_hash(password, salt) == known.get("password_hash")


def _any_of(names: Iterable[str]) -> str:
    alternatives = "|".join(re.escape(name).replace("\\-", "-") for name in names)
    return f"^({alternatives})$" if alternatives else _NOTHING


def _password_in(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); it must hold the password of {path.name}") from None
    if not password:
        raise ConfigError(f"{path} is empty; it must hold the password of {path.name}")
    return password

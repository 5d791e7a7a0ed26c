"""From where the broker is to how pika reaches it, and from what pika raises to what a person can do about it."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import pika
from pika import exceptions

from landseries.brokers.properties import install
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable, ConfigError

#: How long a broker may keep a connection blocked (memory or disk alarm) before it is given up and made anew.
BLOCKED_TIMEOUT_S: Final = 600
_CONNECT_TIMEOUT_S: Final = 10
_FIRST_DELAY_S: Final = 0.25
_LONGEST_DELAY_S: Final = 30.0
_APPLY: Final = "`landseries topology apply` makes it"


def parameters(connection: BrokerConnection, name: str) -> list[pika.ConnectionParameters]:
    """How pika reaches each of the brokers.

    Args:
        connection: where they are.
        name: of this connection, as the broker's management shows it.

    Raises:
        ConfigError: a certificate or key cannot be read.
    """
    install()
    credentials = pika.PlainCredentials(connection.user, connection.password.get_secret_value())
    found = []
    for url in connection.urls:
        parts = urlsplit(url)
        secure = parts.scheme == "amqps"
        found.append(
            pika.ConnectionParameters(
                host=parts.hostname,
                port=parts.port or (5671 if secure else 5672),
                virtual_host=connection.vhost,
                credentials=credentials,
                heartbeat=connection.heartbeat_s,
                blocked_connection_timeout=BLOCKED_TIMEOUT_S,
                socket_timeout=_CONNECT_TIMEOUT_S,
                stack_timeout=2 * _CONNECT_TIMEOUT_S,
                ssl_options=pika.SSLOptions(_context(connection), parts.hostname) if secure else None,
                client_properties={"connection_name": name, "product": "landseries"},
            )
        )
    return found


def delays_s() -> Iterator[float]:
    """Waiting times between attempts to connect, in seconds: exponential, with full jitter, without end."""
    longest = _FIRST_DELAY_S
    while True:
        # So that dozens of workers do not come back in the same instant.
        yield random.uniform(0, longest)
        longest = min(_LONGEST_DELAY_S, 2 * longest)


def explain_connection(error: BaseException, connection: BrokerConnection) -> BrokerError:
    """What it means that a connection could not be made, or broke, and what would help.

    Returns:
        BrokerUnavailable where trying again may help by itself, another BrokerError where a person must act.
    """
    where = f"{connection.url}{connection.unset}"
    chain = list(_chain(error))
    text = "; ".join(dict.fromkeys(str(item) for item in chain if str(item)))
    for item in chain:
        if isinstance(item, ssl.SSLCertVerificationError):
            return BrokerError(
                f"{where}: the broker's certificate is not accepted ({_why(item)}); check its date and host "
                "name, and that LANDSERIES_BROKER_CA_FILE names who signed it"
            )
        if isinstance(item, ssl.SSLError) and not isinstance(item, ssl.SSLEOFError):
            return BrokerError(
                f"{where}: no TLS with this broker ({_why(item)}); amqps:// needs its TLS port (5671), and where it "
                "asks for a client certificate LANDSERIES_BROKER_CERTIFICATE_FILE and LANDSERIES_BROKER_KEY_FILE"
            )
    if _has(chain, exceptions.ProbableAuthenticationError) or "ACCESS_REFUSED - Login" in text:
        return BrokerError(
            f"{where}: user {connection.user!r} is refused; check LANDSERIES_BROKER_USER and "
            "LANDSERIES_BROKER_PASSWORD (or ..._PASSWORD_FILE)"
        )
    if _has(chain, exceptions.ProbableAccessDeniedError) or "NOT_ALLOWED - " in text:
        return BrokerError(
            f"{where}: user {connection.user!r} may not use virtual host {connection.vhost!r}, or there is none of "
            "that name; check LANDSERIES_BROKER_VHOST, and that `landseries topology apply` gave the user its rights"
        )
    # A reset is no answer: a proxy whose broker is just starting sends one as well.
    if _has(chain, exceptions.IncompatibleProtocolError) and "ConnectionResetError" not in text:
        return BrokerError(
            f"{where}: what answers there does not speak AMQP 0-9-1; check the port in LANDSERIES_BROKER_URL, and that "
            "a TLS port is named with amqps://"
        )
    hint = "" if where.startswith("amqps:") else "; where it speaks TLS, write amqps:// in LANDSERIES_BROKER_URL"
    return BrokerUnavailable(f"{where}: the broker does not answer or the connection broke ({text or error!r}){hint}")


def explain_channel(error: BaseException, connection: BrokerConnection, doing: str) -> BrokerError:
    """What it means that the broker closed a channel while something was done."""
    if not isinstance(error, exceptions.ChannelClosedByBroker):
        return BrokerUnavailable(f"{doing}: the connection broke ({error or type(error).__name__})")
    if error.reply_code == 404:
        return BrokerError(
            f"{doing}: {error.reply_text}; {_APPLY} (virtual host {connection.vhost!r}, LANDSERIES_BROKER_VHOST)"
        )
    if error.reply_code == 403:
        return BrokerError(
            f"{doing}: user {connection.user!r} has no right to it ({error.reply_text}); each service logs in as its "
            "own user, whose rights `landseries topology apply` sets"
        )
    return BrokerUnavailable(f"{doing}: the broker closed the channel ({error.reply_code} {error.reply_text})")


def _context(connection: BrokerConnection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=connection.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"LANDSERIES_BROKER_CA_FILE: {connection.ca_file} cannot be read as certificates in PEM form ({error})"
        ) from None
    if connection.certificate_file:
        try:
            context.load_cert_chain(connection.certificate_file, connection.key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"LANDSERIES_BROKER_CERTIFICATE_FILE, ..._KEY_FILE: {connection.certificate_file} and its key cannot "
                f"be read in PEM form ({error})"
            ) from None
    return context


def _why(error: ssl.SSLError) -> str:
    # Python sets these only on errors that OpenSSL itself has raised.
    return str(getattr(error, "verify_message", None) or getattr(error, "reason", None) or error)


def _has(chain: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(item, kind) for item in chain)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error with all that pika wrapped in it, the outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        item = waiting.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        inner = [item.__cause__, item.__context__, getattr(item, "exception", None)]
        inner += [*getattr(item, "exceptions", ()), *item.args]
        waiting.extend(one for one in inner if isinstance(one, BaseException))

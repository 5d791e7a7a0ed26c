"""What pika raises, as a person reads it; and how long one waits to try again."""

import itertools
import ssl

import pytest
from pika import exceptions

from landseries.brokers.connection import delays_s, explain_channel, explain_connection, parameters
from landseries.brokers.management import Management, management_url
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable

PLACE = BrokerConnection(url="amqp://one:1234, amqp://two", vhost="maps", user="landseries-indexer")


def test_delays_grow_to_a_bound_and_differ() -> None:
    runs = [list(itertools.islice(delays_s(), 40)) for _ in range(20)]
    assert all(0 <= delay <= 30 for run in runs for delay in run)
    assert max(run[0] for run in runs) <= 0.25
    assert max(run[20] for run in runs) > 5
    assert len({run[10] for run in runs}) == 20


def test_every_broker_is_tried_with_the_same_settings() -> None:
    one, two = parameters(PLACE, "a name")
    assert [(one.host, one.port), (two.host, two.port)] == [("one", 1234), ("two", 5672)]
    assert {one.virtual_host, two.virtual_host} == {"maps"}
    assert one.ssl_options is None


@pytest.mark.parametrize(
    ("error", "names"),
    [
        (exceptions.ProbableAuthenticationError("..."), "LANDSERIES_BROKER_PASSWORD"),
        (exceptions.ProbableAccessDeniedError("..."), "LANDSERIES_BROKER_VHOST"),
        (exceptions.IncompatibleProtocolError("..."), "LANDSERIES_BROKER_URL"),
        (ssl.SSLCertVerificationError("expired"), "LANDSERIES_BROKER_CA_FILE"),
        (exceptions.AMQPConnectionError(ssl.SSLError(1, "x")), "5671"),
    ],
)
def test_what_a_person_must_mend_names_the_variable(error: Exception, names: str) -> None:
    explained = explain_connection(error, PLACE)
    assert names in str(explained)
    assert not isinstance(explained, BrokerUnavailable)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        exceptions.StreamLostError("x"),
        OSError(),
        # What pika makes of a reset before the first byte: a proxy whose broker is just starting.
        exceptions.IncompatibleProtocolError("...", f"StreamLostError: {ConnectionResetError(104, 'reset')!r}"),
    ],
)
def test_what_may_pass_by_itself_is_unavailable(error: Exception) -> None:
    assert isinstance(explain_connection(error, PLACE), BrokerUnavailable)


def test_an_address_that_nobody_gave_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANDSERIES_BROKER_URL", raising=False)
    refused = ConnectionRefusedError(111, "refused")
    unset = r"(LANDSERIES_BROKER_URL is not set)"
    assert f"amqp://localhost:5672 {unset}: the broker does" in str(explain_connection(refused, BrokerConnection()))
    assert unset not in str(explain_connection(refused, PLACE))


@pytest.mark.parametrize("given", [None, "http://nowhere.invalid:1"])
def test_a_management_api_that_nobody_named_is_told_as_such(given: str | None) -> None:
    nobodys = BrokerConnection.model_construct(set(), url="amqp://nowhere.invalid", management_url=given)
    told = (
        r"http://nowhere\.invalid:15672 \(LANDSERIES_BROKER_URL is not set\): the" if given is None else f"{given}: the"
    )
    with pytest.raises(BrokerUnavailable, match=told):
        Management(nobodys).version()


def test_closed_channels_are_explained() -> None:
    missing = explain_channel(exceptions.ChannelClosedByBroker(404, "NOT_FOUND - no queue"), PLACE, "consuming")
    refused = explain_channel(exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED"), PLACE, "publishing")
    late = explain_channel(exceptions.ChannelClosedByBroker(406, "delivery acknowledgement timed out"), PLACE, "x")
    assert "topology apply" in str(missing)
    assert "landseries-indexer" in str(refused)
    assert [type(error) for error in (missing, refused, late)] == [BrokerError, BrokerError, BrokerUnavailable]


@pytest.mark.parametrize(
    ("url", "given", "expected"),
    [
        ("amqp://one:1234,amqp://two", None, "http://one:15672"),
        ("amqps://one", None, "https://one:15671"),
        ("amqp://[::1]:5672", None, "http://[::1]:15672"),
        ("amqp://one", "https://m.example/api/", "https://m.example"),
    ],
)
def test_where_the_management_api_is(url: str, given: str | None, expected: str) -> None:
    assert management_url(BrokerConnection(url=url, management_url=given)) == expected

"""TLS to a real broker: a good certificate, an expired one, an unknown signer, and the wrong kind of port."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from support.servers import need_rabbit

from landseries.brokers.rabbitmq import RabbitBroker
from landseries.brokers.topology import apply
from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable, ConfigError
from landseries.local.servers import RabbitServer
from tests.unit.shared.brokers.behaviour import INDEX

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("secure rabbit")]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure_rabbit(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[RabbitServer]:
    need_rabbit()
    folder = tmp_path_factory.mktemp("secure")
    certs = folder / "certs"
    certs.mkdir()
    _write(authority.issue_cert("localhost", "127.0.0.1"), certs)
    authority.cert_pem.write_to_path(certs / "ca.crt")
    with RabbitServer(folder / "rabbit", certs=certs) as server:
        yield server


def test_messages_travel_over_tls(secure_rabbit: RabbitServer) -> None:
    place = secure_rabbit.create_vhost("tls")
    apply(place)
    with RabbitBroker(place) as broker:
        broker.publish([INDEX])
        delivery = broker.receive(["indexer"], 3)
        assert delivery is not None
        delivery.ack()


def test_an_unknown_signer_is_refused_with_the_remedy(secure_rabbit: RabbitServer, tmp_path: Path) -> None:
    stranger = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    for ca_file in (stranger, None):
        _refused(secure_rabbit.connection().model_copy(update={"ca_file": ca_file}), "LANDSERIES_BROKER_CA_FILE")


def test_the_wrong_kind_of_port_is_explained(secure_rabbit: RabbitServer, rabbit_server: RabbitServer) -> None:
    secure, plain = secure_rabbit.connection(), rabbit_server.connection()
    _refused(plain.model_copy(update={"url": plain.url.replace("amqp:", "amqps:")}), "amqps://")
    # The TLS port resets what it cannot read, as does a proxy whose broker is starting: hence only a hint.
    with pytest.raises(BrokerUnavailable, match="write amqps://"):
        RabbitBroker(secure.model_copy(update={"url": secure.url.replace("amqps:", "amqp:")})).open(2)


def test_an_expired_certificate_is_refused(tmp_path: Path, authority: trustme.CA, secure_rabbit: RabbitServer) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certs = secure_rabbit.certs
    assert certs is not None
    _write(authority.issue_cert("localhost", not_after=yesterday), certs)
    secure_rabbit.restart()
    _refused(secure_rabbit.connection(), r"expired.*check its date")


def test_a_file_that_holds_no_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for ca_file in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match="LANDSERIES_BROKER_CA_FILE"):
            RabbitBroker(BrokerConnection(url="amqps://localhost:1", ca_file=ca_file))


def _refused(place: BrokerConnection, text: str) -> None:
    with pytest.raises(BrokerError, match=text) as caught:
        RabbitBroker(place).open(15)
    assert not isinstance(caught.value, BrokerUnavailable)


def _write(issued: trustme.LeafCert, certs: Path) -> None:
    issued.private_key_pem.write_to_path(certs / "private.key")
    issued.cert_chain_pems[0].write_to_path(certs / "public.crt")

"""Connections: every wrong value is told by its variable, secrets come from files too, and no text shows one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries.connections import (
    BROKER_PREFIX,
    STORE_PREFIX,
    BrokerConnection,
    StoreConnection,
    broker_connection,
    store_connection,
)
from landseries.errors import ConfigError

SECRET = "hush-4711"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has set."""
    import os

    for name in [name for name in os.environ if name.startswith((STORE_PREFIX, BROKER_PREFIX))]:
        monkeypatch.delenv(name)


def read(variable: str) -> StoreConnection | BrokerConnection:
    return store_connection() if variable.startswith(STORE_PREFIX) else broker_connection()


def test_without_any_variable_it_is_this_machine() -> None:
    store, broker = store_connection(), broker_connection()
    assert (store.url, store.bucket, store.folder, store.access_key) == (
        "http://localhost:9000",
        "landseries",
        None,
        None,
    )
    assert (broker.urls, broker.vhost, broker.management_url) == (["amqp://localhost:5672"], "/", None)
    assert store.unset == " (LANDSERIES_STORE_URL is not set)"
    assert broker.unset == " (LANDSERIES_BROKER_URL is not set)"


def test_what_a_variable_names_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSERIES_STORE_URL", "http://localhost:9000")
    monkeypatch.setenv("LANDSERIES_BROKER_URL", "amqp://localhost:5672")
    assert (store_connection().unset, broker_connection().unset) == ("", "")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("LANDSERIES_STORE_URL", "", "write http://HOST:PORT"),
        ("LANDSERIES_STORE_URL", "localhost:9000", "write http://HOST:PORT"),
        ("LANDSERIES_STORE_URL", "s3://bucket", "write http://HOST:PORT"),
        ("LANDSERIES_STORE_URL", "file://host/folder", "write http://HOST:PORT"),
        ("LANDSERIES_STORE_URL", "file:relative", "write http://HOST:PORT"),
        ("LANDSERIES_STORE_URL", "http://host/bucket", "write http://HOST:PORT"),
        ("LANDSERIES_STORE_URL", f"http://me:{SECRET}@host", "keys belong into the other fields"),
        ("LANDSERIES_STORE_URL", f"http://:{SECRET}@host", "keys belong into the other fields"),
        ("LANDSERIES_STORE_URL", f"http://host?key={SECRET}", "keys belong into the other fields"),
        ("LANDSERIES_STORE_URL", "http://host:port", "Port"),
        ("LANDSERIES_STORE_URL", "http://host:70000", "Port"),
        ("LANDSERIES_STORE_URL", "http://[::1", "Invalid IPv6 URL"),
        ("LANDSERIES_STORE_BUCKET", "Upper_Case", "write 3 to 63 characters, of a-z, 0-9, . and -"),
        ("LANDSERIES_STORE_BUCKET", "x", "write 3 to 63 characters"),
        ("LANDSERIES_STORE_PATH_STYLE", "perhaps", "boolean"),
        ("LANDSERIES_STORE_PATIENCE_S", "-1", "greater than or equal to 0"),
        ("LANDSERIES_STORE_PATIENCE_S", "nan", "greater than or equal to 0"),
        ("LANDSERIES_STORE_PATIENCE_S", "a minute", "number"),
        ("LANDSERIES_BROKER_URL", "http://host", "write amqp://HOST:PORT"),
        ("LANDSERIES_BROKER_URL", "amqp://one,two", "write amqp://HOST:PORT"),
        ("LANDSERIES_BROKER_URL", "amqp://one,", "write amqp://HOST:PORT"),
        ("LANDSERIES_BROKER_URL", "amqp://host/vhost", "vhost have fields of their own"),
        ("LANDSERIES_BROKER_URL", f"amqp://me:{SECRET}@host", "user and vhost have fields of their own"),
        ("LANDSERIES_BROKER_URL", f"amqp://:{SECRET}@host", "user and vhost have fields of their own"),
        ("LANDSERIES_BROKER_URL", "amqp://host:port", "Port"),
        ("LANDSERIES_BROKER_VHOST", "", "at least 1 character"),
        ("LANDSERIES_BROKER_HEARTBEAT_S", "0", "greater than or equal to 5"),
        ("LANDSERIES_BROKER_HEARTBEAT_S", "601", "less than or equal to 600"),
        ("LANDSERIES_BROKER_HEARTBEAT_S", "soon", "integer"),
        ("LANDSERIES_BROKER_MANAGEMENT_URL", "host:15672", "write http://HOST:PORT"),
        ("LANDSERIES_BROKER_MANAGEMENT_URL", f"http://me:{SECRET}@host", "those of the broker"),
    ],
)
def test_a_wrong_value_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        read(variable)
    text = str(caught.value)
    assert text.startswith(f"{variable}: ")
    assert says in text
    assert SECRET not in text
    assert "\n" not in text


def test_every_wrong_value_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSERIES_STORE_URL", "nowhere")
    monkeypatch.setenv("LANDSERIES_STORE_PATIENCE_S", "long")
    with pytest.raises(ConfigError) as caught:
        store_connection()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "LANDSERIES_STORE_URL",
        "LANDSERIES_STORE_PATIENCE_S",
    ]


@pytest.mark.parametrize(
    ("url", "folder"),
    [("file:///data/store", Path("/data/store")), ("https://store:443/", None), ("http://[::1]:9000", None)],
)
def test_stores_are_services_or_folders(monkeypatch: pytest.MonkeyPatch, url: str, folder: Path | None) -> None:
    monkeypatch.setenv("LANDSERIES_STORE_URL", url)
    assert store_connection().folder == folder
    assert store_connection().url == url.rstrip("/")


def test_several_brokers_are_tried_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSERIES_BROKER_URL", "amqps://one:5671, amqp://two")
    assert broker_connection().urls == ["amqps://one:5671", "amqp://two"]


@pytest.mark.parametrize("name", ["STORE_ACCESS_KEY", "STORE_SECRET_KEY", "BROKER_PASSWORD"])
class TestSecrets:
    def value(self, name: str) -> str:
        found = getattr(read(f"LANDSERIES_{name}"), name.partition("_")[2].lower())
        return str(found.get_secret_value())

    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(f"LANDSERIES_{name}", SECRET)
        assert self.value(name) == SECRET

    def test_from_a_file_whose_last_line_ends(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_text(f"{SECRET}\n")
        monkeypatch.setenv(f"LANDSERIES_{name}_FILE", str(tmp_path / "secret"))
        monkeypatch.setenv(f"LANDSERIES_{name}", "the file goes before")
        assert self.value(name) == SECRET

    @pytest.mark.parametrize("content", [None, b"", b"\n", SECRET.encode() + b"\xff"])
    def test_a_file_without_one_is_told(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None
    ) -> None:
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setenv(f"LANDSERIES_{name}_FILE", str(path))
        with pytest.raises(ConfigError, match=f"LANDSERIES_{name}_FILE: {path} .*must hold the secret") as caught:
            read(f"LANDSERIES_{name}")
        assert SECRET not in str(caught.value)

    def test_no_text_shows_it(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(f"LANDSERIES_{name}", SECRET)
        connection = read(f"LANDSERIES_{name}")
        for text in (repr(connection), str(connection), connection.model_dump_json(), str(connection.model_dump())):
            assert SECRET not in text
        monkeypatch.setenv("LANDSERIES_STORE_URL", "wrong")
        monkeypatch.setenv("LANDSERIES_BROKER_URL", "wrong")
        with pytest.raises(ConfigError) as caught:
            read(f"LANDSERIES_{name}")
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None, "the cause would show the values"


@given(url=st.text(max_size=30) | st.from_regex(r"\A(https?|file|amqps?)://[^,]{0,20}\Z"))
def test_an_address_is_taken_or_refused_and_never_holds_a_user(url: str) -> None:
    variants = (
        (StoreConnection, "url"),
        (BrokerConnection, "url"),
        (BrokerConnection, "management_url"),
    )
    for model, field in variants:
        try:
            connection = model(**{field: url})
        except ValueError:
            continue
        address = getattr(connection, field)
        assert address.split("://")[0] in ("http", "https", "file", "amqp", "amqps")
        if not address.startswith("file"):
            assert "@" not in address.split("/")[2]

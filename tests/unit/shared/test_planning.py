"""What is said of a source before it is touched: keys that are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from landseries.cli import app
from landseries.cli.local import warn_of_missing_keys
from landseries.config import load_config
from landseries.errors import ConfigError
from landseries.planning import describe_source, missing_keys
from landseries.settings.sources import Source

_ACCESS, _SECRET = "LANDSERIES_CDSE_ACCESS_KEY", "LANDSERIES_CDSE_SECRET_KEY"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (_ACCESS, _SECRET):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(
        "name: valley\narea: {bbox: [11.0, 46.0, 11.1, 46.1]}\nyears: [2018]\n"
        # Nothing listens there: who asks it fails in another way than these tests expect.
        "source: {kind: cdse, url: 'http://127.0.0.1:1', patience_s: 0.1}\n"
        "reference: {path: clc.tif, year: 2018, legend: corine}\n"
    )
    return path


def _source(**fields: Any) -> Source:
    found: Source = TypeAdapter(Source).validate_python(fields)
    return found


def test_cdse_is_read_with_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    said = missing_keys(_source(kind="cdse"))
    assert said is not None
    assert f"no {_ACCESS} and no {_SECRET}" in said
    monkeypatch.setenv(_ACCESS, "key")
    said = missing_keys(_source(kind="cdse"))
    assert said is not None
    assert _ACCESS not in said
    assert _SECRET in said
    monkeypatch.setenv(f"{_SECRET}_FILE", "/run/secrets/key")
    assert missing_keys(_source(kind="cdse")) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "cdse", "s3_endpoint": None},
        {"kind": "earth-search"},
        {"kind": "planetary-computer"},
        {"kind": "stac", "url": "https://a.example", "collection": "c", "s3_endpoint": "https://public.example"},
        {"kind": "safe", "path": "products"},
    ],
)
def test_other_sources_may_need_none(fields: dict[str, Any]) -> None:
    assert missing_keys(_source(**fields)) is None


@pytest.mark.parametrize("command", ["run", "search"])
def test_what_reads_here_does_not_begin_without_keys(config: Path, command: str) -> None:
    result = CliRunner().invoke(app, [command, str(config)])
    assert isinstance(result.exception, ConfigError)
    assert f"{config}: source: the environment sets no {_ACCESS}" in str(result.exception)


def test_one_key_of_two_is_an_error_for_whoever_asks(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_ACCESS, "key")
    with pytest.raises(ConfigError, match="only one is given"):
        describe_source(config)


def test_whoever_only_checks_is_warned(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_missing_keys(load_config(config))
    said = capsys.readouterr().err
    assert "warning:" in said
    assert _ACCESS in said

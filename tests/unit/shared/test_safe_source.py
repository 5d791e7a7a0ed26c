"""What a configuration may say of products in a folder or in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from landseries.settings.sources import SafeSource, is_local

BUCKET = {"path": "s3://products/s2/l2a/", "s3_endpoint": "https://host.example/"}


def _source(**fields: Any) -> SafeSource:
    return SafeSource.model_validate(fields)


def test_a_folder_and_a_bucket() -> None:
    folder, bucket = _source(path="products"), _source(**BUCKET)
    assert (folder.path, folder.bucket, is_local(folder)) == (Path("products"), None, True)
    assert (bucket.bucket, is_local(bucket)) == (("products", "s2/l2a/"), False)
    assert (bucket.s3_endpoint, bucket.key_names) == ("https://host.example", "LANDSERIES_SAFE")
    assert _source(**{**BUCKET, "path": "s3://products"}).bucket == ("products", "")


@pytest.mark.parametrize("fields", [{"path": "products"}, {"path": Path("/data/s2")}, BUCKET])
def test_what_is_written_is_read_the_same(fields: dict[str, Any]) -> None:
    source = _source(**fields)
    assert SafeSource.model_validate_json(source.model_dump_json()) == source


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"path": "https://host.example/products"}, "write a folder, or s3://BUCKET/PREFIX"),
        ({**BUCKET, "path": "s3://key:secret@products/s2"}, "write a folder, or s3://BUCKET/PREFIX"),
        ({**BUCKET, "path": "s3://products/s2?versions"}, "no query"),
        ({"path": ""}, "write a folder"),
        ({"path": 3}, "write a folder"),
        ({"path": "s3://products/s2"}, "s3_endpoint: name the service"),
        ({**BUCKET, "s3_endpoint": "host.example"}, "write https://HOST"),
        ({**BUCKET, "max_requests_per_minute": 9}, "max_connections: a limit of requests needs"),
        ({"path": "products", "cache_gib": 9.0, "s3_region": "eu"}, "cache_gib, s3_region: only a bucket"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        _source(**fields)


@given(st.text(max_size=40))
def test_any_text_is_a_folder_a_bucket_or_refused(text: str) -> None:
    for path in (text, f"s3://{text}"):
        try:
            source = _source(path=path, s3_endpoint="https://host.example" if "://" in path else None)
        except ValidationError:
            continue
        assert is_local(source) == ("://" not in path)
        if source.bucket is not None:
            name, prefix = source.bucket
            assert "/" not in name
            assert not prefix or prefix.endswith("/")

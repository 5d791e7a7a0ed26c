"""Messages: what goes out comes back, and what is hostile is refused with a reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries.messages import BODIES, BadMessage, Message, decode, encode, new_trace
from landseries.pipeline import STAGES, Unit

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", fullmatch=True)
runs = st.from_regex(r"[a-z0-9][a-z0-9-]{0,59}", fullmatch=True)


@st.composite
def units(draw: st.DrawFn) -> Unit:
    stage = draw(st.sampled_from(list(STAGES)))
    years = st.integers(1900, 2199).map(str)
    return Unit(stage, tuple(draw(years if field == "year" else names) for field in STAGES[stage].unit))


@given(runs, units())
def test_a_message_comes_back_as_it_went(run: str, unit: Unit) -> None:
    message = encode(run, unit)
    assert decode(message) == (run, unit)
    assert message.type == f"{unit.stage}.v1"
    assert decode(Message.model_validate_json(message.model_dump_json())) == (run, unit)


@given(runs, units(), units())
def test_the_message_id_is_the_units_own(run: str, one: Unit, other: Unit) -> None:
    assert encode(run, one).message_id == encode(run, one).message_id
    assert (encode(run, one).message_id == encode(run, other).message_id) == (one == other)


def message(type_: str, body: bytes) -> Message:
    return Message(type=type_, message_id="x", traceparent=new_trace(), body=body)


GOOD = {"schema_version": 1, "run_id": "demo", "tile": "t", "year": "2018"}


@pytest.mark.parametrize(
    ("type_", "body", "reason"),
    [
        ("nonsense.v1", b"{}", "no stage"),
        ("index.v2", b"{}", "version"),
        ("index", b"{}", "version"),
        ("index.v1", b"{", "JSON"),
        ("index.v1", b"\xff\xfe", "JSON|utf"),
        ("index.v1", b" " * 5000, "more than"),
        ("index.v1", json.dumps(GOOD | {"year": 2018}).encode(), "year"),
        ("index.v1", json.dumps(GOOD | {"tile": "../../etc"}).encode(), "tile"),
        ("index.v1", json.dumps(GOOD | {"run_id": "Demo"}).encode(), "run_id"),
        ("index.v1", json.dumps(GOOD | {"schema_version": 2}).encode(), "schema_version"),
        ("index.v1", json.dumps(GOOD | {"more": 1}).encode(), "more"),
        ("index.v1", json.dumps({"run_id": "demo"}).encode(), "tile|year"),
    ],
)
def test_what_is_wrong_is_named(type_: str, body: bytes, reason: str) -> None:
    with pytest.raises(BadMessage, match=f"(?i){reason}"):
        decode(message(type_, body))


@given(st.text(max_size=30), st.binary(max_size=5000))
def test_nothing_but_bad_message_escapes(type_: str, body: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(message(type_, body))


@given(st.sampled_from(list(STAGES)), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_json_that_is_no_body_is_refused(stage: str, content: object) -> None:
    with pytest.raises(BadMessage):
        decode(message(f"{stage}.v1", json.dumps(content).encode()))


def test_every_stage_has_a_body_of_its_key_fields() -> None:
    for stage, row in STAGES.items():
        assert set(BODIES[stage].model_fields) == {"schema_version", "run_id", *row.unit}

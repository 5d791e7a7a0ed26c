"""The numerics profile: what a processor can do, what a process is started with, and what it may work under."""

import os
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from landseries import numerics
from landseries.numerics import Capability, NumericsProfile

CAPABILITIES: tuple[Capability, ...] = get_args(Capability)
FLAGS = {
    "default": "fpu sse sse2",
    "avx2": "fpu avx avx2 fma",
    "avx512": "fpu avx2 fma avx512f avx512bw avx512vl avx512dq",
    "avx512_bf16": "fpu avx2 fma avx512f avx512bw avx512vl avx512dq avx512_bf16",
    "amx": "fpu avx2 fma avx512f avx512bw avx512vl avx512dq avx512_bf16 amx_bf16 amx_tile amx_int8",
}


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What stands for /proc/cpuinfo."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(numerics, "Path", lambda name: path)
    monkeypatch.setattr(numerics.platform, "machine", lambda: "x86_64")
    return path


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_highest_cap_of_a_processor(processor: Path, capability: Capability) -> None:
    processor.write_text(f"processor\t: 0\nflags\t\t: {FLAGS[capability]}\n\nprocessor\t: 1\nflags\t\t: none\n")
    assert numerics.processor_capability() == capability


@pytest.mark.parametrize("text", [None, "", "flags without a colon", "model name : x"])
def test_an_unknown_processor_gets_what_every_one_can(processor: Path, text: str | None) -> None:
    if text is not None:
        processor.write_text(text)
    assert numerics.processor_capability() == "default"


def test_other_machines_get_the_default(processor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor.write_text(f"flags : {FLAGS['amx']}\n")
    monkeypatch.setattr(numerics.platform, "machine", lambda: "aarch64")
    assert numerics.processor_capability() == "default"


@pytest.mark.parametrize("has", CAPABILITIES)
@pytest.mark.parametrize("needs", CAPABILITIES)
def test_a_processor_can_what_lower_caps_ask(processor: Path, has: Capability, needs: Capability) -> None:
    processor.write_text(f"flags : {FLAGS[has]}\n")
    missing = numerics.missing_for(NumericsProfile(capability=needs))
    if CAPABILITIES.index(needs) <= CAPABILITIES.index(has):
        assert missing is None
    else:
        assert missing == f"this machine's processor has no {needs}"


@pytest.mark.parametrize(
    ("device", "precision", "capability", "expected"),
    [
        ("cpu", "auto", "avx2", "float32"),
        ("cpu", "auto", "avx512_bf16", "bfloat16"),
        ("cpu", "auto", "amx", "bfloat16"),
        ("cpu", "float32", "amx", "float32"),
        ("cpu", "bfloat16", "default", "bfloat16"),
        ("cuda", "auto", "default", "bfloat16"),
        ("cuda", "float32", "avx2", "float32"),
    ],
)
def test_precision_is_settled_by_device_and_processor(
    processor: Path, device: str, precision: str, capability: str, expected: str
) -> None:
    processor.write_text(f"flags : {FLAGS[capability]}\n")
    profile = numerics.settle("cuda" if device == "cuda" else "cpu", precision, 3)
    assert (profile.precision, profile.capability, profile.training_threads) == (expected, capability, 3)


def test_on_gpus_the_processor_is_asked_for_little(processor: Path) -> None:
    processor.write_text(f"flags : {FLAGS['amx']}\n")
    assert numerics.settle("cuda", "auto", 1, 4) == NumericsProfile(
        device="cuda", capability="avx2", precision="bfloat16", training_processes=4
    )
    assert numerics.settle("cuda", "auto", 1, capability="amx").capability == "amx"
    processor.write_text(f"flags : {FLAGS['default']}\n")
    assert numerics.settle("cuda", "auto", 1).capability == "default"


def test_precision_follows_the_capability_that_is_asked_for(processor: Path) -> None:
    processor.write_text(f"flags : {FLAGS['amx']}\n")
    assert numerics.settle("cpu", "auto", 1, capability="avx2").precision == "float32"


@pytest.mark.parametrize(
    ("devices", "named", "visible"),
    [
        ([], None, 0),
        ([], "0", 0),
        (["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps"], None, 2),
        (["nvidia0", "nvidia1"], "1", 1),
        (["nvidia0", "nvidia1"], "", 0),
        (["nvidia0", "nvidia1"], "-1", 0),
        (["nvidia0"], "GPU-6d7e,GPU-91ab", 1),
        (["dxg"], None, 1),
    ],
)
def test_gpus_are_counted_without_their_libraries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, devices: list[str], named: str | None, visible: int
) -> None:
    for name in devices:
        (tmp_path / name).touch()
    monkeypatch.setattr(numerics, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert numerics.visible_gpus() == visible
    missing = numerics.missing_for(NumericsProfile(device="cuda"))
    assert missing is None if visible else "no NVIDIA GPU" in str(missing)


def test_a_profile_is_applied_where_every_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = NumericsProfile(capability="avx2")
    wanted = numerics.process_environment(profile)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    assert numerics.is_applied(profile)
    assert not numerics.is_applied(NumericsProfile(capability="avx512"))
    for name in wanted:
        kept = os.environ[name]
        monkeypatch.delenv(name)
        assert not numerics.is_applied(profile), name
        monkeypatch.setenv(name, kept)


def test_caps_differ_in_what_libraries_are_told() -> None:
    told = {tuple(numerics.process_environment(NumericsProfile(capability=each)).items()) for each in CAPABILITIES}
    assert len(told) == len(CAPABILITIES)


def test_what_is_no_profile_is_refused() -> None:
    for text in ('{"device": "tpu"}', '{"capability": "sse9"}', '{"threads": 2}', "[]"):
        with pytest.raises(ValidationError):
            NumericsProfile.model_validate_json(text)

"""The numerics profile: what the bytes of trained networks and their maps are promised for.

Floating-point results depend on the processor's instructions, the number of threads of a reduction, and the
precision. A run settles them once, in its plan; every worker sets them before numeric libraries load.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

Capability = Literal["default", "avx2", "avx512", "avx512_bf16", "amx"]

#: What each cap means to the libraries: PyTorch's own kernels, oneDNN, and MKL.
_CAPS: Final[dict[str, tuple[str, str, str]]] = {
    "default": ("default", "SSE41", "COMPATIBLE"),
    "avx2": ("avx2", "AVX2", "AVX2,STRICT"),
    "avx512": ("avx512", "AVX512_CORE", "AVX512,STRICT"),
    "avx512_bf16": ("avx512", "AVX512_CORE_BF16", "AVX512,STRICT"),
    "amx": ("avx512", "AVX512_CORE_AMX", "AVX512,STRICT"),
}
#: Where drivers show their devices.
_DEVICES: Final = Path("/dev")


class NumericsProfile(BaseModel):
    """Device class, processor features, precision, and the threads and processes of training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["cpu", "cuda"] = "cpu"
    capability: Capability = "default"
    precision: Literal["float32", "bfloat16"] = "float32"
    training_threads: int = 1
    training_processes: int = 1


def settle(
    device: Literal["cpu", "cuda"],
    precision: str,
    training_threads: int,
    training_processes: int = 1,
    capability: Capability | Literal["auto"] = "auto",
) -> NumericsProfile:
    """The profile of a run that is planned on this machine.

    A capability of `auto` is this processor's highest; for GPUs, whose hosts are of many kinds, at most avx2, because
    there the processor only hands data on.
    """
    if capability == "auto":
        capability = processor_capability()
        if device == "cuda" and capability not in ("default", "avx2"):
            capability = "avx2"
    if precision == "auto":
        precision = "bfloat16" if device == "cuda" or capability in ("avx512_bf16", "amx") else "float32"
    return NumericsProfile(
        device=device,
        capability=capability,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        training_threads=training_threads,
        training_processes=training_processes,
    )


def processor_capability() -> Capability:
    """The highest cap that this machine's processor supports."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return "default"
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "default"
    flags = next((line.partition(":")[2].split() for line in text.splitlines() if line.startswith("flags")), [])
    found = set(flags)
    if {"amx_tile", "amx_bf16"} <= found:
        return "amx"
    if "avx512_bf16" in found:
        return "avx512_bf16"
    if {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= found:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= found else "default"


def process_environment(profile: NumericsProfile) -> dict[str, str]:
    """The environment variables of a process that works under a profile; they bind only what loads afterwards."""
    aten, onednn, mkl = _CAPS[profile.capability]
    return {
        "ATEN_CPU_CAPABILITY": aten,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_CBWR": mkl,
        "MKL_DYNAMIC": "FALSE",
        "OMP_DYNAMIC": "FALSE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        # One thread each: handlers spread their work themselves, in ways that change no byte.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": str(os.cpu_count() or 1),
        "GDAL_CACHEMAX": "64",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONHASHSEED": "0",
    }


def is_applied(profile: NumericsProfile) -> bool:
    """Whether this process was started under a profile's environment."""
    return all(os.environ.get(name) == value for name, value in process_environment(profile).items())


def missing_for(profile: NumericsProfile) -> str | None:
    """What this machine lacks to work under a profile; None where it can."""
    order = list(_CAPS)
    if order.index(profile.capability) > order.index(processor_capability()):
        return f"this machine's processor has no {profile.capability}"
    if profile.device == "cuda" and not visible_gpus():
        return "this machine shows no NVIDIA GPU to this process"
    return None


def visible_gpus() -> int:
    """NVIDIA GPUs that this process may use, as far as can be told without their libraries.

    Counts the driver's devices, or those that CUDA_VISIBLE_DEVICES names, whichever are fewer.
    """
    devices = sum(1 for path in _DEVICES.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdecimal())
    # Windows' Linux subsystem has one device for all.
    devices = devices or int((_DEVICES / "dxg").exists())
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return devices
    return min(devices, sum(1 for name in named.split(",") if name.strip() not in ("", "-1", "NoDevFiles", "void")))

"""TORCH_INDEX brings another build of PyTorch to trainer and mapper, and nothing else from there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = re.search(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]  # type: ignore[index]

pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("packaging"), pytest.mark.timeout(300)]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A simple index that has a PyTorch without CUDA, as that of PyTorch does, and a NumPy that nobody should take."""
    root = tmp_path / "simple"
    _publish(root, "torch", f"{VERSION}+cpu", ["filelock", "sympy", "networkx", "jinja2", "fsspec"])
    _publish(root, "numpy", "1.26.9", [])

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path), **named)  # type: ignore[arg-type, misc]

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


@pytest.mark.parametrize("service", ["trainer", "mapper"])
def test_the_build_of_that_index_is_taken_without_cuda(index: str, service: str, tmp_path: Path) -> None:
    found = _resolve(service, tmp_path, *_flags(index))
    assert found["torch"] == f"{VERSION}+cpu"
    assert [name for name in found if name.startswith(("nvidia", "cuda", "triton"))] == []
    usual = _resolve(service, tmp_path)
    assert usual["torch"] == VERSION
    assert any(name.startswith("nvidia") for name in usual), "by default CUDA comes with it"
    assert {name: version for name, version in found.items() if name != "torch"} == {
        name: version for name, version in usual.items() if name in found and name != "torch"
    }


def _flags(index: str) -> list[str]:
    """What `containers/install` adds for TORCH_INDEX."""
    line = next(
        line for line in (ROOT / "containers" / "install").read_text().splitlines() if "${TORCH_INDEX:+" in line
    )
    flags = re.search(r"\$\{TORCH_INDEX:\+(.+?)\}", line)
    assert flags is not None
    return flags[1].replace('"$TORCH_INDEX"', index).split()


def _resolve(service: str, folder: Path, *flags: str) -> dict[str, str]:
    """Packages that the image of a service would have, and their versions."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    wanted = folder / "wanted.in"
    wanted.write_text(
        f"landseries-shared @ file://{ROOT}/shared\nlandseries-{service} @ file://{ROOT}/services/{service}\n"
    )
    command = [uv, "pip", "compile", "-q", "--no-header", "--no-annotate", "--python-version", "3.11", str(wanted)]
    command += ["--python-platform", "x86_64-manylinux_2_36", "-c", str(ROOT / "constraints.txt"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(line.split("==") for line in done.stdout.splitlines() if "==" in line)


def _publish(root: Path, name: str, version: str, needs: list[str]) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        required = "".join(f"Requires-Dist: {need}\n" for need in needs)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")

"""TORCH_INDEX brings another build of PyTorch to trainer and mapper, and nothing else from there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = re.search(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]  # type: ignore[index]

NUMPY = re.search(r"^numpy==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]  # type: ignore[index]
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))

pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("packaging"), pytest.mark.timeout(300)]


@dataclass
class Index:
    """A package index of this machine, and what it was asked for."""

    url: str
    asked: list[str]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """A simple index that has a PyTorch without CUDA, as that of PyTorch does, and a NumPy that nobody should take."""
    root = tmp_path / "simple"
    _publish(root, "torch", f"{VERSION}+cpu", ["filelock", "sympy", "networkx", "jinja2", "fsspec"])
    _publish(root, "numpy", NUMPY, [])
    asked: list[str] = []

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path), **named)  # type: ignore[arg-type, misc]

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Index(f"http://127.0.0.1:{server.server_port}/simple", asked)
        server.shutdown()


@pytest.mark.parametrize("service", ["trainer", "mapper"])
def test_the_build_of_that_index_is_taken_without_cuda(index: Index, service: str, tmp_path: Path) -> None:
    usual = _added(service, _environment(tmp_path / "usual"))
    assert usual["torch"] == VERSION
    assert any(name.startswith("nvidia") for name in usual), "by default CUDA comes with it"
    environment = _environment(tmp_path / "cpu")
    _shell(_command_of("containers/install").replace("$root/bin/python", str(environment)), index.url)
    found = _added(service, environment)
    assert "torch" not in found, "the one that is there will do"
    assert [name for name in found if name.startswith(("nvidia", "cuda", "triton"))] == []
    assert found == {name: version for name, version in usual.items() if name in found}
    assert {path.split("/")[2] for path in index.asked} == {"torch"}, "nothing else is asked for there"


def test_make_takes_it_by_the_same_command() -> None:
    ours = _command_of("Makefile").replace("$(BIN)/", "").replace("$(TORCH_INDEX)", '"$TORCH_INDEX"')
    theirs = _command_of("containers/install").replace('"$uv"', "uv").replace("$root/bin/", "")
    assert ours == theirs


def _command_of(path: str) -> str:
    """The command by which PyTorch is taken from an index of its own."""
    found = re.search(
        r"(?:\$\(BIN\)/uv|\"\$uv\") pip install [^\n]*--default-index[^\n]* torch\b", (ROOT / path).read_text()
    )
    assert found is not None
    return found[0]


def _shell(command: str, index: str) -> None:
    done = subprocess.run(
        ["sh", "-euc", command],
        env={**os.environ, "uv": UV, "TORCH_INDEX": index},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _environment(folder: Path) -> Path:
    """The Python of a new environment."""
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    return folder / "bin" / "python"


def _added(service: str, python: Path) -> dict[str, str]:
    """Packages that the image of a service would get besides those that are there, and their versions."""
    command = [UV, "pip", "install", "--dry-run", "--python", str(python), "-c", str(ROOT / "constraints.txt")]
    command += [f"landseries-shared @ file://{ROOT}/shared", f"landseries-{service} @ file://{ROOT}/services/{service}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.removeprefix(" + ") for line in done.stderr.splitlines() if line.startswith(" + ")]
    return dict(line.split("==") for line in lines if "==" in line)


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

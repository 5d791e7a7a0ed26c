"""Each service installs alone, with its own dependencies only, and its worker starts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from landseries.pipeline import SERVICES

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "sentinelsat", "sklearn", "scipy", "pandas", "pyarrow")
#: Which services may bring which heavy packages.
ALLOWED = {
    "clusterer": {"pyarrow"},
    "pseudolabeler": {"sklearn", "scipy", "pyarrow"},
    "sampler": {"pyarrow"},
    "trainer": {"torch", "pyarrow"},
    "mapper": {"torch"},
}

pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("packaging"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_installs_alone_and_its_worker_starts(service: str, tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "env")], check=True)
    command = [uv, "pip", "install", "-q", "--python", str(python), "-c", str(ROOT / "constraints.txt")]
    extra = "[torch]" if "torch" in ALLOWED.get(service, set()) else ""
    sources = [f"{ROOT / 'shared'}{extra}", str(ROOT / "services" / service)]
    installed = subprocess.run([*command, *sources], capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    landseries = python.with_name("landseries")
    shown = subprocess.run([landseries, "worker", service, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    # Started without a message, a worker process of a run loads its service and ends with its input.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    idle = subprocess.run(
        [landseries, "child", service, "--workdir", tmp_path / "work"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert idle.returncode == 0, idle.stderr
    other = next(name for name in SERVICES if name != service)
    missing = subprocess.run([landseries, "worker", other], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert missing.returncode == 2
    assert f"pip install landseries-{other}" in missing.stderr
    for module in HEAVY:
        found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, cwd=tmp_path).returncode == 0
        assert found == (module in ALLOWED.get(service, set())), f"{service} and {module}"


def test_the_bridge_installs_alone_and_loads_no_science(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "env")], check=True)
    command = [uv, "pip", "install", "-q", "--python", str(python), "-c", str(ROOT / "constraints.txt")]
    installed = subprocess.run(
        [*command, str(ROOT / "shared"), str(ROOT / "services" / "bridge")], capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    missing = subprocess.run(
        [python.with_name("landseries"), "bridge", "--site", tmp_path / "site.yaml"], capture_output=True, text=True
    )
    assert missing.returncode == 2
    assert "must be the profile of a batch system" in missing.stderr
    loaded = "import sys, landseries_bridge.program; sys.exit(any(name in sys.modules for name in sys.argv[1:]))"
    assert subprocess.run([python, "-c", loaded, *HEAVY, "numba"], cwd=tmp_path).returncode == 0

"""The fault run in a small form: one seed, few faults of each kind."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.servers import need_minio, need_rabbit

ROOT = Path(__file__).parents[2]
SMALL = {
    "--seeds": 7,
    "--kills": 8,
    "--broker-restarts": 1,
    "--store-stops": 1,
    "--store-stop-s": 5,
    "--duplicates": 20,
    "--cuts": 2,
    "--tile-px": 128,
    "--limit-s": 400,
}


@pytest.mark.faults
@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("faults")
def test_a_run_under_faults_has_the_bytes_of_an_undisturbed_one(small_archive: Path, tmp_path: Path) -> None:
    need_rabbit()
    need_minio()
    arguments = [str(part) for option in SMALL.items() for part in option]
    command = [sys.executable, "-m", "tests.faults.run", *arguments, "--folder", str(tmp_path)]
    command += ["--archive", str(small_archive)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)
    print(ended.stdout)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert "8 kills, 1 broker restarts, 1 store stops, 20 duplicates" in ended.stdout

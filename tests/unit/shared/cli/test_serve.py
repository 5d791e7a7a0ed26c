"""The worker's command line before it serves: unknown services, wrong profiles, stores that refuse or are away."""

from pathlib import Path

import pytest
from unit.shared.cli.conftest import Call

from landseries import numerics
from landseries.cli import serve
from landseries.connections import StoreConnection
from landseries.errors import StoreError


def test_an_unknown_service_is_told_with_those_that_there_are(call: Call) -> None:
    told = call("worker", "indexer", "maper")
    assert told.status == 2
    assert told.err.strip().startswith("error: there is no service maper; services are fetcher, indexer,")


def test_a_worker_needs_a_service(call: Call) -> None:
    told = call("worker")
    assert told.status == 2
    assert "SERVICES" in told.err.upper()


@pytest.mark.parametrize("profile", ["{", "[]", '{"device": "tpu"}', "nonsense"])
def test_a_wrong_profile_is_told_by_its_variable(call: Call, monkeypatch: pytest.MonkeyPatch, profile: str) -> None:
    monkeypatch.setenv("LANDSERIES_PROFILE", profile)
    told = call("worker", "indexer")
    assert told.status == 2
    assert told.err.startswith("error: LANDSERIES_PROFILE: is no numerics profile")


def test_without_a_profile_this_machines_own_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANDSERIES_PROFILE", raising=False)
    assert serve._wanted_profile() == numerics.settle("cpu", "auto", 1)


def test_the_profile_of_the_process_before_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = numerics.NumericsProfile(capability="avx2", training_threads=5)
    monkeypatch.setenv("LANDSERIES_PROFILE", profile.model_dump_json())
    assert serve._wanted_profile() == profile


def test_the_new_process_gets_the_profile_and_the_same_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("os.execve", lambda program, command, env: started.append((command, env)))
    monkeypatch.setattr("sys.argv", ["landseries", "worker", "trainer", "--max-messages", "1"])
    profile = numerics.NumericsProfile(capability="avx2")
    serve._start_anew(profile)
    ((command, env),) = started
    assert command[1:] == ["-m", "landseries", "worker", "trainer", "--max-messages", "1"]
    assert numerics.process_environment(profile).items() <= env.items()
    assert env["LANDSERIES_PROFILE"] == profile.model_dump_json()


def test_a_store_that_is_away_is_left_to_the_loop() -> None:
    serve._check_store(StoreConnection(url="http://127.0.0.1:1", patience_s=0.1))


def test_a_store_that_cannot_be_used_is_told_before_the_first_message(tmp_path: object) -> None:
    with pytest.raises(StoreError, match="cannot be used as a store"):
        serve._check_store(StoreConnection(url="file:///dev/null/store"))


def test_services_that_are_left_out_must_exist(call: Call) -> None:
    told = call("up", "--without", "traner")
    assert told.status == 2
    assert told.err.strip().startswith("error: --without traner: services are fetcher,")


def test_a_profile_that_is_missing_is_told_before_broker_and_store_are_asked(call: Call) -> None:
    told = call("bridge", "--site", "/nowhere/site.yaml")
    assert told.status == 2
    assert "must be the profile of a batch system" in told.err


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (None, "cannot be used: [Errno 2] No such file"),
        ("#!/bin/sh\n{% if %}\n", "cannot be used: line 2: Expected an expression"),
        ("{{ label | cite }}", "cannot be used: line 1: No filter named 'cite'"),
        (
            "{% if account %}{{ lable }}{% endif %}",
            "cannot be filled in: 'lable' is undefined; names are account, attempt,",
        ),
        ("{% if attempt > 1 %}{{ lable }}{% endif %}", "cannot be filled in: 'lable' is undefined"),
        ("{{ cpus * 2 }}", "cannot be filled in: unsupported operand"),
        ("", "lacks `#!/bin/bash`; begin with a copy of"),
        ("#!/bin/sh\n", "lacks `#SBATCH --job-name={{ label }}`"),
        ("#!/bin/sh\n#SBATCH --job-name={{ label }}x\n", "lacks `#SBATCH --job-name={{ label }}`"),
        ("#!/bin/sh\n#SBATCH --job-name={{ label }}\n", "lacks `#SBATCH --output={{ log }}`"),
        ("#!/bin/sh\n#SBATCH --job-name={{ label }}\n#SBATCH --output={{ log }}\n", "lacks `{{ command |"),
    ],
)
def test_a_template_that_is_wrong_is_told_before_broker_and_store_are_asked(
    call: Call, tmp_path: Path, template: str | None, says: str
) -> None:
    site = tmp_path / "site.yaml"
    section = "{services: [mapper, trainer], time: '06:00:00', account: maps}"
    site.write_text(f"{{name: here, spool: {tmp_path}/spool, template: own.j2, partitions: {{gpus: {section}}}}}")
    if template is not None:
        (tmp_path / "own.j2").write_text(template)
    told = call("bridge", "--site", site)
    assert told.status == 2
    assert told.err.startswith(f"error: {site}: template: {tmp_path}/own.j2: {says}")
    assert not (tmp_path / "spool").exists()

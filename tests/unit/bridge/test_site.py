"""Profiles of batch systems: presets, and what is said of wrong ones."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from landseries.brokers.names import BRIDGED
from landseries.errors import ConfigError
from landseries.pipeline import SERVICES
from landseries_bridge.site import Partition, load_site

BOOSTER: dict[str, Any] = {"services": ["trainer", "mapper"], "time": "06:00:00"}

SEVERAL: dict[str, Any] = BOOSTER | {"nodes": 2, "command": ["srun", "landseries"]}


def written(folder: Path, **changes: Any) -> Path:
    content = {"name": "here", "spool": "/scratch/landseries", "partitions": {"booster": BOOSTER}} | changes
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_short_profile_is_enough(tmp_path: Path) -> None:
    site = load_site(written(tmp_path))
    assert site.services == ("trainer", "mapper")
    assert site.section_of("mapper") == "booster"
    assert site.section_of("indexer") is None


def test_variables_of_the_environment_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/p/scratch/me")
    assert load_site(written(tmp_path, spool="${SCRATCH}/landseries")).spool == Path("/p/scratch/me/landseries")
    monkeypatch.delenv("SCRATCH")
    with pytest.raises(ConfigError, match=r"spool: the environment variable SCRATCH is not set"):
        load_site(written(tmp_path, spool="${SCRATCH}/landseries"))


def test_juwels_booster_brings_its_peculiarities_and_leaves_the_rest_to_the_profile(tmp_path: Path) -> None:
    given = BOOSTER | {
        "account": "maps",
        "directives": ["--qos=high"],
        "environment": {"NCCL_DEBUG": "INFO"},
        "cpus": 24,
    }
    section = load_site(written(tmp_path, preset="juwels-booster", partitions={"gpus": given})).partitions["gpus"]
    assert (section.partition, section.gres, section.master_suffix, section.nodes) == ("booster", "gpu:4", "i", 1)
    assert section.directives == ("--signal=B:USR1@300", "--qos=high")
    assert section.environment == {
        "NCCL_SOCKET_IFNAME": "ib0",
        "GLOO_SOCKET_IFNAME": "ib0",
        "NCCL_DEBUG": "INFO",
    }
    assert section.cpus == 24, "what the profile says goes before"


def test_a_training_on_several_nodes_has_a_section_of_its_own(tmp_path: Path) -> None:
    given = SEVERAL | {"services": ["trainer"], "tasks_per_node": 4, "cpus": 12}
    section = load_site(written(tmp_path, preset="juwels-booster", partitions={"train": given})).partitions["train"]
    assert (section.nodes, section.tasks_per_node, section.cpus, section.gres) == (2, 4, 12, "gpu:4")


def test_the_documentation_explains_every_field_of_a_section() -> None:
    lines = (Path(__file__).parents[3] / "docs" / "deploy-hpc.md").read_text(encoding="utf-8").splitlines()
    explained = {name for line in lines if line.startswith("| `") for name in re.findall("`(.+?)`", line.split("|")[1])}
    assert explained == set(Partition.model_fields)


def test_services_that_need_the_world_outside_stay_outside() -> None:
    assert set(SERVICES) - set(BRIDGED) == {"fetcher", "assessor"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"partitions": {"b": BOOSTER | {"services": ["fetcher"]}}}, r"partitions.b.services: 'fetcher' cannot go"),
        ({"partitions": {"b": BOOSTER, "c": BOOSTER}}, r"trainer goes to several"),
        ({"partitions": {"b": BOOSTER | {"time": "six hours"}}}, r'partitions.b.time: write HH:MM:SS or .* "12:00:00"'),
        ({"partitions": {"b": BOOSTER | {"time": "12:00"}}}, r"partitions.b.time: write HH:MM:SS"),
        ({"partitions": {"b": BOOSTER | {"time": "00:00:00"}}}, r"partitions.b.time: write HH:MM:SS"),
        ({"partitions": {"b": BOOSTER | {"time": "0-00:00:00"}}}, r"partitions.b.time: write HH:MM:SS"),
        ({"partitions": {"b": BOOSTER | {"time": "99:99:99"}}}, r"partitions.b.time: write HH:MM:SS"),
        (
            {"preset": "juwels-booster", "partitions": {"b": BOOSTER | {"environment": ["x"]}}},
            r"partitions.b.environment",
        ),
        (
            {"preset": "juwels-booster", "partitions": {"b": BOOSTER | {"directives": "--x"}}},
            r"partitions.b.directives",
        ),
        ({"partitions": {"b": BOOSTER | {"directives": ["--qos=a '--array=1-9'"]}}}, r"--array cannot be set here"),
        ({"partitions": {"b": BOOSTER | {"directives": ['--qos=a "--arr"ay=1']}}}, r"--array cannot be set here"),
        ({"partitions": {"b": BOOSTER | {"directives": ["--qos=a \\--array=1"]}}}, r"--array cannot be set here"),
        ({"partitions": {"b": BOOSTER | {"directives": ["--comment='a"]}}}, r"No closing quotation"),
        ({"partitions": {"b": BOOSTER | {"time": 43200}}}, r"partitions.b.time: write HH:MM:SS .* in quotes"),
        ({"partitions": {"b": BOOSTER | {"gpus": 4}}}, r"partitions.b.gpus: unknown field; known are account, "),
        ({"partitions": {"b": BOOSTER | {"account": "a b"}}}, r"partitions.b.account: write one word"),
        ({"partitions": {"b": BOOSTER | {"modules": ["a b"]}}}, r"partitions.b.modules.0: write one word"),
        ({"partitions": {"b": BOOSTER | {"master_suffix": "$(x)"}}}, r"partitions.b.master_suffix: write the end of a"),
        ({"partitions": {"b c": BOOSTER}}, r"partitions.b c.*: write one word"),
        ({"partitions": {"b": BOOSTER | {"directives": ["-x\nrm"]}}}, r"is no option of sbatch"),
        ({"partitions": {"b": BOOSTER | {"directives": ["--job-name=mine"]}}}, r"--job-name cannot be set here"),
        ({"partitions": {"b": BOOSTER | {"directives": ["--qos=high --outp=/tmp/x"]}}}, r"--outp cannot be set here"),
        ({"partitions": {"b": BOOSTER | {"directives": ["--qos=high -J mine"]}}}, r"-J cannot be set here"),
        ({"partitions": {"b": BOOSTER | {"directives": ["--array=0-9"]}}}, r"--array cannot be set here"),
        ({"partitions": {"b": BOOSTER | {"command": ["{tile}"]}}}, r"\{service\} is the only field"),
        ({"partitions": {"b": BOOSTER | {"environment": {"MY_PASSWORD": "x"}}}}, r"MY_PASSWORD looks like a secret"),
        ({"partitions": {"b": BOOSTER | {"environment": {"A B": "x"}}}}, r"'A B' is no name"),
        (
            {"partitions": {"b": BOOSTER | {"environment": {"LANDSERIES_BROKER_URL": "x"}}}},
            r"LANDSERIES_BROKER_URL looks like a secret",
        ),
        (
            {"partitions": {"b": BOOSTER | {"environment": {"PROXY": "http://me:word@proxy:3128"}}}},
            r"PROXY holds a password in a URL",
        ),
        ({"partitions": {"b": BOOSTER | {"environment": {"A": "x\0"}}}}, r"A holds a zero byte"),
        ({"partitions": {"b": SEVERAL | {"services": ["trainer", "mapper"]}}}, r"the trainer alone can do"),
        ({"partitions": {"b": SEVERAL | {"services": ["trainer"], "processes": 2}}}, r"with `processes: 1`"),
        (
            {"partitions": {"b": BOOSTER | {"nodes": 2}}},
            r"partitions.b: several nodes or tasks: `command` must",
        ),
        ({"partitions": {}}, r"partitions"),
        ({"preset": "juwels-boster"}, r"preset: there is no 'juwels-boster'; known are juwels-booster"),
        ({"preset": "juwels-booster", "partitions": ["x"]}, r"partitions: .*dictionary"),
        ({"spool": "scratch"}, r"spool: write an absolute path"),
        ({"spool": "/a b"}, r"without spaces"),
        ({"spool": "/a'b"}, r"quotes"),
        ({"spool": "/a#b"}, r"quotes"),
        ({"name": "A"}, r"name: write at most 31 characters, of a-z, 0-9 and -"),
        ({"name": "a\n"}, r"name: write at most 31"),
        ({"poll_s": float("inf")}, r"poll_s: .*less than or equal to 3600"),
        ({"partitions": {"b": BOOSTER | {"pack_wait_s": float("inf")}}}, r"pack_wait_s: .*less than or equal"),
        ({"colour": "red"}, r"colour: unknown field; known are name"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as found:
        load_site(written(tmp_path, **changes))
    assert str(tmp_path / "site.yaml") in str(found.value)


@pytest.mark.parametrize("content", [b"a: [", b"just text", b"\xff\xfe\x00"])
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"site\.yaml"):
        load_site(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_site(tmp_path / "missing.yaml")

"""The profile of a batch system: which services go to which partition, and with what resources. It holds no secrets."""

from __future__ import annotations

import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from landseries.brokers.names import BRIDGED
from landseries.errors import ConfigError
from landseries.settings.base import Settings, spelled
from landseries.variables import expand_variables

_Word = Annotated[
    str,
    spelled(
        r"[A-Za-z0-9][A-Za-z0-9._:,/=@+-]*",
        "write one word that begins with a letter or digit, of letters, digits and . _ : , / = @ + -",
    ),
]
_SECRET: Final = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|(access|private|api)_?key|^landseries_(broker|store)_|^aws_", re.I
)
_LOGIN: Final = re.compile(r"://[^/\s@]*:[^/\s@]+@")
#: Options by which the bridge finds its jobs and their logs again.
_OURS: Final = ("--job-name", "--output", "--error", "--array", "--wait", "--wrap", "--clusters")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_Time = Annotated[
    str,
    spelled(
        # Of 12:00 Slurm makes minutes, and of 0 no limit.
        r"(?!(0+-)?0+:00:00)(\d+-)?\d{1,3}:[0-5]\d:[0-5]\d",
        'write HH:MM:SS or D-HH:MM:SS in quotes, such as "12:00:00" or "1-00:00:00"',
    ),
]
_PRESETS: Final = resources.files(__package__).joinpath("presets")


class Partition(Settings):
    """Where the units of some services are done, and with what."""

    services: Annotated[tuple[str, ...], Field(min_length=1, description=f"Services: {', '.join(BRIDGED)}")]
    partition: Annotated[_Word | None, Field(description="Partition; default: the name of this section")] = None
    account: Annotated[_Word | None, Field(description="Account (budget) that pays")] = None
    time: Annotated[_Time, Field(description="Time limit of a job, such as 06:00:00 or 1-00:00:00")]
    nodes: Annotated[int, Field(ge=1, description="Nodes of a job")] = 1
    tasks_per_node: Annotated[int, Field(ge=1, description="Tasks per node; of several, `command` must call srun")] = 1
    cpus: Annotated[int | None, Field(ge=1, description="Cores of a job's task; also the threads of its units")] = None
    gres: Annotated[_Word | None, Field(description="Further resources, such as gpu:4")] = None
    memory: Annotated[_Word | None, Field(description="Memory per node, such as 90G")] = None
    directives: Annotated[tuple[str, ...], Field(description="Further options of sbatch, such as --qos=high")] = ()
    modules: Annotated[tuple[_Word, ...], Field(description="Software modules to load")] = ()
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of the job; no secrets"
    )
    master_suffix: Annotated[
        str,
        spelled(r"[A-Za-z0-9.-]*", "write the end of a host's name: letters, digits, . and -, such as i"),
        Field(description="Added to the name of a job's first node, for MASTER_ADDR"),
    ] = ""
    command: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="How landseries is called on a node; {service} stands for the service's name"),
    ] = ("landseries",)
    processes: Annotated[int, Field(ge=1, description="Units done at once in a job; GPUs are dealt out to them")] = 1
    units_per_job: Annotated[int, Field(ge=1, le=10_000, description="Most units of one job")] = 1
    pack_wait_s: Annotated[
        float, Field(ge=0, le=86_400, description="How long a unit waits for others to fill its job")
    ] = 30.0
    jobs_at_once: Annotated[int, Field(ge=1, description="Most jobs of this section at once, pending ones too")] = 20
    attempts: Annotated[
        int,
        Field(ge=1, description="Jobs in a row without an answer or a newer checkpoint before units are dead"),
    ] = 3

    @field_validator("services")
    @classmethod
    def _can_go_there(cls, services: tuple[str, ...]) -> tuple[str, ...]:
        for name in services:
            if name not in BRIDGED:
                raise ValueError(f"{name!r} cannot go to a batch system; those that can are {', '.join(BRIDGED)}")
        return services

    @field_validator("directives")
    @classmethod
    def _are_options(cls, directives: tuple[str, ...]) -> tuple[str, ...]:
        for line in directives:
            if not re.fullmatch(r"--[a-z][^\n\r\0]*", line):
                raise ValueError(f"{line!r} is no option of sbatch; write --name=value")
            try:
                words = shlex.split(line)
            except ValueError as error:
                raise ValueError(f"{line!r}: {error}") from None
            # As sbatch reads it: what stands in quotes is an option as well.
            for option in (word.split("=")[0] for word in words if word.startswith("-")):
                # sbatch takes beginnings of names as well.
                if not option.startswith("--") or any(name.startswith(option) for name in _OURS):
                    raise ValueError(f"{line!r}: {option} cannot be set here; the bridge finds its jobs by its own")
        return directives

    @field_validator("environment")
    @classmethod
    def _tells_no_secret(cls, environment: dict[str, str]) -> dict[str, str]:
        for name, value in environment.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of an environment variable")
            if _SECRET.search(name):
                raise ValueError(f"{name} looks like a secret, and a job's script is no place for one; jobs need none")
            if _LOGIN.search(value):
                raise ValueError(f"{name} holds a password in a URL, and a job's script is no place for one")
            if "\0" in value:
                raise ValueError(f"{name} holds a zero byte, which no variable can")
        return environment

    @model_validator(mode="after")
    def _starts_all_tasks(self) -> Partition:
        if self.nodes * self.tasks_per_node == 1:
            return self
        if "srun" not in self.command:
            raise ValueError("several nodes or tasks: `command` must call srun, or all but the first of them idle")
        if self.services != ("trainer",) or self.processes > 1:
            raise ValueError(
                "several nodes or tasks work on one unit together; the trainer alone can do that, with `processes: 1`. "
                "Give other services a section of their own with one task; their jobs spread over the nodes"
            )
        return self

    @field_validator("command")
    @classmethod
    def _has_no_other_field(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        for word in command:
            if re.search(r"[{}]", word.replace("{service}", "")) or "\0" in word or "\n" in word:
                raise ValueError(f"{word!r}: {{service}} is the only field that a command may hold")
        return command


class Site(Settings):
    """A batch system as the bridge uses it."""

    name: Annotated[
        str,
        spelled(r"[a-z0-9][a-z0-9-]{0,30}", "write at most 31 characters, of a-z, 0-9 and -, such as juwels-booster"),
        Field(description="Name for records: a-z, 0-9 and -"),
    ]
    preset: Annotated[str | None, Field(description="Known system whose peculiarities every partition gets")] = None
    spool: Annotated[Path, Field(description="Folder for the jobs' files, which the compute nodes see")]
    poll_s: Annotated[float, Field(ge=0.1, le=3600, description="Seconds between two looks at the jobs")] = 20.0
    template: Annotated[Path | None, Field(description="Script of a job instead of ours (Jinja)")] = None
    partitions: Annotated[dict[_Word, Partition], Field(min_length=1, description="Sections by name")]

    @field_validator("spool")
    @classmethod
    def _can_be_named_to_slurm(cls, spool: Path) -> Path:
        if not spool.is_absolute() or re.search(r"[\s%\\\"'#]", str(spool)):
            raise ValueError("write an absolute path without spaces, quotes, #, % and backslashes")
        return spool

    @model_validator(mode="after")
    def _each_service_once(self) -> Site:
        names = [service for partition in self.partitions.values() for service in partition.services]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"partitions: {', '.join(twice)} goes to several of them; each service has one place")
        return self

    @property
    def services(self) -> tuple[str, ...]:
        """The services whose messages the bridge takes."""
        return tuple(name for partition in self.partitions.values() for name in partition.services)

    def section_of(self, service: str) -> str | None:
        """Name of the section that does a service's units; None where none does."""
        return next((name for name, found in self.partitions.items() if service in found.services), None)


def load_site(path: Path) -> Site:
    """Read and check a profile.

    Raises:
        ConfigError: naming the file, the field and what would be right.
    """
    data = _read(path)
    preset = data.get("preset")
    if preset is not None:
        data = data | {"partitions": _with_preset(path, str(preset), data.get("partitions"))}
    try:
        site = Site.model_validate(expand_variables(data, str(path)))
    except ValidationError as error:
        raise ConfigError("\n".join(dict.fromkeys(f"{path}: {_explain(item)}" for item in error.errors()))) from None
    if site.template is None:
        return site
    return site.model_copy(update={"template": (path.parent / site.template).resolve()})


def _with_preset(path: Path, name: str, sections: Any) -> Any:
    """The sections with a preset's values where they have none; options and variables are added to its own."""
    known = sorted(entry.name.removesuffix(".yaml") for entry in _PRESETS.iterdir() if entry.name.endswith(".yaml"))
    if name not in known:
        raise ConfigError(f"{path}: preset: there is no {name!r}; known are {', '.join(known)}")
    preset = yaml.safe_load(_PRESETS.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    if not isinstance(sections, dict) or not all(isinstance(given, dict) for given in sections.values()):
        return sections  # what is wrong with it is told field by field
    return {section: preset | given | _added(preset, given) for section, given in sections.items()}


def _added(preset: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Options and variables of both; what is no list, or no variables, is left to be told."""
    directives, environment = given.get("directives") or [], given.get("environment") or {}
    added: dict[str, Any] = {}
    if isinstance(directives, list):
        added["directives"] = [*preset.get("directives", []), *directives]
    if isinstance(environment, dict):
        added["environment"] = {**preset.get("environment", {}), **environment}
    return added


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); it must be the profile of a batch system") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold the fields of a profile: {', '.join(Site.model_fields)}")
    return data


def _explain(item: Any) -> str:
    field = ".".join(str(step) for step in item["loc"])
    if item["type"] == "extra_forbidden":
        known = Partition.model_fields if len(item["loc"]) > 1 else Site.model_fields
        return f"{field}: unknown field; known are {', '.join(sorted(known))}"
    said = item["msg"].removeprefix("Value error, ")
    return f"{field}: {said}" if field else said

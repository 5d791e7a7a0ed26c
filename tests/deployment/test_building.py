"""Images are built again to the byte, with settings of the machine that no layer keeps; and say what is in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
from support.containers import ROOT, image, inspected, need_images, podman

from landseries.pipeline import SERVICES

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("images"), pytest.mark.timeout(1200)]

_UPSTREAM: Final = os.environ.get("UV_DEFAULT_INDEX", "https://pypi.org/simple")
_AGAIN: Final = "localhost/landseries-again"
_TOKEN: Final = "only-this-machine-knows-7c1e"
_PINNED: Final = dict(re.findall(r"^([a-z0-9-]+)==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))


@dataclass
class Index:
    """A package index of this machine, and what it was asked for."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def index() -> Iterator[Index]:
    """An index that sends everybody on to the usual one."""
    found = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", _UPSTREAM + self.path.removeprefix("/simple"))
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://someone:{_TOKEN}@127.0.0.1:{server.server_port}/simple"
        yield found
        server.shutdown()


def test_a_build_anew_with_settings_of_the_machine_gives_the_same_layers(index: Index, tmp_path: Path) -> None:
    need_images(["fetcher"])
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    first = inspected(image("fetcher"))
    if "IMAGE_TAG" in os.environ or image("x").endswith("-dirty"):
        pytest.skip(f"{image('fetcher')} is not of the revision that is checked out: `make images` builds it")
    assert first["Config"]["Labels"]["org.opencontainers.image.revision"] == head.strip()
    settings = tmp_path / "build.env"
    settings.write_text(f"UV_DEFAULT_INDEX={index.url}\nNOTE_OF_THIS_MACHINE={_TOKEN}\n")
    variables = {"REGISTRY": _AGAIN, "IMAGE_TAG": "test", "BUILD_ENV": str(settings), "NO_CACHE": "yes"}
    built = ("build-common", "common", "fetcher")
    try:
        done = subprocess.run(
            [ROOT / "containers" / "build", "fetcher"], env=os.environ | variables, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        again = inspected(f"{_AGAIN}/fetcher:test")
        assert again["RootFS"]["Layers"] == first["RootFS"]["Layers"]
        for package in ("numpy", "rasterio", "sentinelsat", "hatchling", "uv"):
            assert f"/simple/{package}/" in index.asked
        for name in built:
            told = podman("image", "inspect", f"{_AGAIN}/{name}:test") + podman(
                "history", "--no-trunc", "--format", "json", f"{_AGAIN}/{name}:test"
            )
            assert _TOKEN not in told
            assert _files_with(_TOKEN, f"{_AGAIN}/{name}:test") == ""
    finally:
        for name in reversed(built):
            podman("rmi", "-f", f"{_AGAIN}/{name}:test", check=False)


@pytest.mark.parametrize("service", SERVICES)
def test_the_bill_of_materials_is_whole_valid_and_the_same_each_time(service: str) -> None:
    need_images([service])
    first, again = _bill(service), _bill(service)
    assert first == again
    bill = json.loads(first)
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", f"landseries-{service}")
    assert _complaints(ROOT / "build" / "sbom" / f"{service}.json") == "None"
    found = {re.sub(r"[-_.]+", "-", part["name"]).lower(): part["version"] for part in bill["components"]}
    assert found.pop("landseries-shared") == bill["metadata"]["component"]["version"]
    assert found == {name: _PINNED.get(name) for name in found}, "the versions of constraints.txt"
    installed = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    inside = podman("run", "--rm", "--no-healthcheck", "--entrypoint", "python", image(service), "-c", installed)
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in inside.split()}
    assert names == {*found, "landseries-shared", f"landseries-{service}"}, "all that is in the image"


def _bill(service: str) -> bytes:
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [ROOT / "containers" / "sbom", service], env=os.environ | {"UV": str(uv)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return (ROOT / "build" / "sbom" / f"{service}.json").read_bytes()


def _complaints(path: Path) -> str:
    """What the library of CycloneDX finds wrong with a bill against its schema."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from cyclonedx.schema import SchemaVersion\n"
        "from cyclonedx.validation.json import JsonStrictValidator\n"
        "print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[2]).read()))"
    )
    tools = ROOT / "build" / "sbom-tools"
    done = subprocess.run([sys.executable, "-c", code, tools, path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _files_with(text: str, name: str) -> str:
    """Files of an image that hold a text."""
    search = f"grep -rlF --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev {text!r} / || true"
    return podman("run", "--rm", "--no-healthcheck", "--user", "0", "--entrypoint", "sh", name, "-c", search)

"""The chart's tools as `make chart-tools` builds them: Helm without further options takes our chart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import yaml
from support.chart import CHART, INSIDE, helm, need_tool

#: What Go writes into a program about a module in it.
_CLIENT: Final = re.compile(rb"dep\tk8s\.io/client-go\tv0\.(\d+)\.")
_TEMPLATE: Final = """\
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: {name: "{{ .Capabilities.KubeVersion.Version }}"}
"""


def test_helm_renders_the_chart_without_being_told_of_a_cluster() -> None:
    done = helm("template", CHART, values=INSIDE)
    assert done.returncode == 0, done.stderr
    assert {manifest["kind"] for manifest in yaml.safe_load_all(done.stdout) if manifest} >= {"Deployment", "Job"}


def test_helm_takes_a_cluster_for_one_of_the_client_that_it_was_built_with(tmp_path: Path) -> None:
    client = _CLIENT.search(need_tool("helm").read_bytes())
    assert client is not None
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: probe, version: 1.0.0}")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "probe.yaml").write_text(_TEMPLATE)
    assert f'name: "v1.{int(client[1])}.0"' in helm("template", tmp_path).stdout
    linted = helm("lint", tmp_path).stdout
    assert "PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+" in linted, "lint knows it as well"

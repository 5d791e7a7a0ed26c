"""The figures that a person wants to see first when a run has ended, read from its result folder."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from landseries.artifacts.documents import read_json


def headline(results: Path) -> tuple[Table, str]:
    """The models side by side, and a line on reliable samples, time and memory.

    Args:
        results: result folder with `assessment.json` and `run.json`.
    """
    assessment, run = read_json(results / "assessment.json"), read_json(results / "run.json")
    agreement = assessment.get("agreement") or {}
    pairs = sorted({pair for found in agreement.values() for pair in found})
    table = Table(box=None, title="on blocks that no sample came from", title_justify="left")
    for heading in ("model", *(f"agree {pair}" for pair in pairs), "accuracy", "change F1"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for model, found in agreement.items():
        accuracy = ((assessment.get("accuracy") or {}).get(model) or {}).values()
        change = ((assessment.get("change") or {}).get(model) or {}).values()
        table.add_row(
            model,
            *(_figure([(found.get(pair) or {}).get("overall")]) for pair in pairs),
            _figure([year["overall"] for year in accuracy]),
            _figure([pair["f1"] for pair in change]),
        )
    seconds = sum(stage["seconds"] for stage in run["timings"].values())
    parts = [f"{seconds:.0f} s of work in all, peak memory of a process {run['peak_rss_mib']:.0f} MiB"]
    reliable = (assessment.get("reliable_samples") or {}).get("macro")
    if reliable:
        parts.insert(
            0,
            f"reliable samples: label precision {_figure([reliable['label_precision']])} "
            f"where the map's is {_figure([reliable['map_precision']])} (macro)",
        )
    return table, "; ".join(parts)


def _figure(values: list[Any]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):.3f}" if known else "–"

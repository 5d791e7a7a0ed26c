"""The sizing table of docs/operations.md, from a file of measured rates.

landseries plan RUN.yaml --measured-from RUN --save-rates rates.json
PYTHONPATH=tests .venv/bin/python -m support.sizing rates.json docs/operations.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from landseries.pipeline import STAGES

BEGIN: Final = "<!-- sizing: begin -->\n"
END: Final = "<!-- sizing: end -->\n"


def sizing_table(rates: dict[str, Any]) -> str:
    """Markdown: per stage seconds, peak memory in MiB, MB read and written; by unit, and by megapixel(-view)."""
    lines = [
        f"Measured on {rates['measured_on']}.\n",
        "| service | stage | units | seconds | peak MiB | MB read | MB written |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for stage, found in rates["stages"].items():
        cells = (
            STAGES[stage].service,
            stage,
            str(found["units"]),
            _seconds(found),
            f"{found['peak_rss_mib']:.0f}",
            _by_size(found["read_per_unit"] / 1e6, found["read_per_mpx"] / 1e6),
            _by_size(found["written_per_unit"] / 1e6, found["written_per_mpx"] / 1e6),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def with_table(text: str, table: str) -> str:
    """The document with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"the document has no {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _seconds(found: dict[str, Any]) -> str:
    if found["seconds_per_sample"]:
        return f"{1e6 * found['seconds_per_sample']:.0f}e-6/series and epoch"
    return _by_size(found["seconds_per_unit"], found["seconds_per_mpx"])


def _by_size(per_unit: float, per_mpx: float) -> str:
    parts = [f"{per_unit:.1f}"] if per_unit >= 0.05 else []
    parts += [f"{per_mpx:.1f}/Mpx"] if per_mpx >= 0.05 else []
    return " + ".join(parts) or "–"


if __name__ == "__main__":
    _rates, _document = map(Path, sys.argv[1:])
    _document.write_text(with_table(_document.read_text(), sizing_table(json.loads(_rates.read_text()))))

"""Where sweeps stand, read from disk: each leaves a note of its runs, and what is in their folders says the rest."""

import hashlib
import json
import os
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs.graph import Graph
from runs.locks import held, lock_file
from runs.result import written
from runs.sweep import duration

NOTES = Path(".sweep") / "notes"
ORDER = ("done", "running", "waiting", "failed")


def note(root: str, whole: Graph, failed: Mapping[str, str]) -> None:
    """Writes down which runs a sweep comes to, and why some failed; the same sweep again replaces its note."""
    runs = {name: job.run.config.steps for name, job in whole.items()}
    content = {
        "command": shlex.join(["python", *sys.argv]),
        "begun": time.time(),
        "steps": runs,
        "failed": dict(failed),
    }
    digest = hashlib.sha256("\n".join(sorted(runs)).encode()).hexdigest()[:10]
    path = Path(root) / NOTES / f"{digest}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{digest}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)  # --status may read at any time


def status(root: Path) -> str:
    """Returns where the sweeps of a root stand, the latest last, as lines.

    Raises:
        ValueError: there are none.
    """
    notes = [json.loads(path.read_text()) for path in (root / NOTES).glob("*.json")]
    if not notes:
        raise ValueError(f"root={root} has no sweeps; python train.py -m ... starts one")
    return "\n\n".join(_of_sweep(root, content) for content in sorted(notes, key=lambda note: note["begun"]))


def _of_sweep(root: Path, content: Mapping[str, Any]) -> str:
    groups: dict[str, list[str]] = defaultdict(list)
    seconds = []
    for name, steps in content["steps"].items():
        group, text = _standing(root, name, steps)
        if group == "waiting" and name in content["failed"]:  # without a result that says so
            group, text = "failed", content["failed"][name]
        groups[group].append(f"  {group:<8} {name}  {text}")
        if group == "done":
            seconds.append(float(written(root / name)["seconds"]))  # type: ignore[index]
    counts = [f"{len(groups[group])} {group}" for group in ORDER if groups[group]]
    if seconds and groups["running"]:
        left = sum(seconds) / len(seconds) * (len(groups["waiting"]) + len(groups["running"])) / len(groups["running"])
        counts.append(f"about {duration(left)} of training left")
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(content["begun"]))
    return "\n".join(
        [f"{begun}  {content['command']}", f"  {', '.join(counts)}", *groups["running"], *groups["failed"]]
    )


def _standing(root: Path, name: str, steps: int | None) -> tuple[str, str]:
    """In which of the groups a run is, and more about it."""
    result = written(root / name)
    if result is not None:
        return ("done", "") if result["status"] == "completed" else ("failed", result["error"].splitlines()[0])
    curves = root / name / "metrics.csv"
    lines = curves.read_text().splitlines()[1:] if curves.exists() else []
    last = lines[-1].partition(",")[0] if lines else "0"
    progress = f"step {last}" + (f" of {steps}" if steps is not None else "")
    return ("running" if held(lock_file(root, name)) else "waiting"), progress

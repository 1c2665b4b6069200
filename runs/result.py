"""The result of a run as it is on disk."""

import json
from pathlib import Path
from typing import Any

from runs.summary import summary


def written(folder: Path) -> dict[str, Any] | None:
    """Returns the result in a run's folder, or None where there is none yet.

    Raises:
        ValueError: the file is not a result.
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        if result["status"] not in ("completed", "failed"):
            raise ValueError
        if result["status"] == "completed":
            summary(result, folder)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        raise ValueError(f"{path} is not a result; delete it to run this again") from None
    return result

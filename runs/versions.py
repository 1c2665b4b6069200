"""Which code computed a result."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("torch", "lightning", "transformers", "hydra-core")


def versions() -> dict[str, str | None]:
    """Returns the commit of this checkout (with a + if it has been changed; None outside git) and library versions."""
    return {"commit": _commit(), "python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def _commit() -> str | None:
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty=+",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

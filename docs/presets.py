"""Writes docs/presets.md, the table of conf/method/ by axes:  python -m docs.presets

A test compares the file with what this makes of the yaml files.
"""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs" / "presets.md"
HEAD = """# Methods

Every file of `conf/method/`, by the choices it makes. Written by `python -m docs.presets`.

| method | starts from | sparsifier | choices | overrides | source |
|---|---|---|---|---|---|
"""
ELSEWHERE = {"_target_", "_partial_", "budget", "seed", "moments"}


def table() -> str:
    """The page, one row for each file."""
    return HEAD + "".join(map(row, sorted((ROOT / "conf" / "method").glob("*.yaml"))))


def row(path: Path) -> str:
    """A method's row; its source is the first line of its file."""
    node: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    sparsifier = node["sparsifier"]
    choices = [f"{key} {said(value)}" for key, value in sparsifier.items() if key not in ELSEWHERE]
    defaults = [item for item in node.get("defaults", []) if isinstance(item, dict)]
    overrides = [f"{key.split('/')[-1].split('@')[0]} {value}" for item in defaults for key, value in item.items()]
    cells = [
        f"`{path.stem}`",
        said(node["start"]),
        said({"_target_": sparsifier["_target_"]}),
        "; ".join(choices),
        "; ".join(overrides),
        path.read_text().splitlines()[0].lstrip("# "),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def said(value: Any) -> str:
    """A value or a call in words: the last part of its target and its arguments."""
    if not isinstance(value, dict):
        return f"`{value}`" if isinstance(value, str) else str(value).lower()
    arguments = [f"{key}={said(child)}" for key, child in value.items() if key not in ("_target_", "_partial_")]
    name = value["_target_"].rpartition(".")[2] if "_target_" in value else ""
    return f"{name}({', '.join(arguments)})" if arguments else name


if __name__ == "__main__":
    FILE.write_text(table())

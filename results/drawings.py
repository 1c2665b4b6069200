"""Draws every figure of conf/figure/ for every task and model, and writes SVG and PNG files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hydra.utils import instantiate
from omegaconf import OmegaConf

from results.figures.figure import Figure, NothingToDrawError, in_style
from results.figures.study import Study
from results.options import FIGURES
from runs.calls import check_calls


@final
@dataclass(frozen=True)
class Drawing:
    """A figure that was drawn.

    Attributes:
        name: of its files, without `.svg` and `.png`.
    """

    name: str
    figure: str
    caption: str
    task: str
    model: str
    svg: Path


def described(names: Sequence[str] | None) -> dict[str, Figure]:
    """Builds the figures of these files in conf/figure/; None: of all.

    Raises:
        ValueError: a file is not a constructor call of a figure.
    """
    stems = sorted(path.stem for path in FIGURES.glob("*.yaml")) if names is None else names
    figures = {}
    for stem in stems:
        node: Any = OmegaConf.to_container(OmegaConf.load(FIGURES / f"{stem}.yaml"))
        check_calls(node, key=f"figure.{stem}")
        figures[stem] = instantiate(node, _convert_="all")
        if not isinstance(figures[stem], Figure):
            raise ValueError(f"conf/figure/{stem}.yaml: _target_ must be a class of results.figures that draws")
    return figures


def draw(figures: Mapping[str, Figure], studies: Sequence[Study], folder: Path) -> tuple[list[Drawing], list[str]]:
    """Draws into a folder.

    Returns:
        what was drawn, and a sentence about each figure that had nothing to draw.
    """
    drawings, left_out = [], []
    for study in studies:
        for stem, figure in figures.items():
            name = re.sub(r"[^\w.-]+", "_", f"{stem}-{study.task}-{study.model}")
            try:
                with in_style():
                    canvas = figure.draw(study)
                    folder.mkdir(parents=True, exist_ok=True)
                    canvas.savefig(folder / f"{name}.svg", metadata={"Date": None})
                    canvas.set_layout_engine("none")  # all is in its place, and finding it takes longest
                    canvas.savefig(folder / f"{name}.png")
            except NothingToDrawError as error:
                left_out.append(f"{stem} of {study.task}, {study.model} is left out: {error}")
            else:
                drawings.append(Drawing(name, stem, figure.caption, study.task, study.model, folder / f"{name}.svg"))
    return drawings, left_out

"""Writes the loss curves that a change of code must not change:  python -m tests.methods.golden

One file a method, one line a step. Run it only when a change is meant to change numbers, and say so in its message.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from lightning.pytorch import Callback
from omegaconf import DictConfig

from tests.conftest import METHODS, SMALL, composed, of_method
from tests.methods.building import parts, takes_ticket

FOLDER = Path(__file__).parent / "golden"


class Losses(Callback):
    """Remembers the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.losses.append(float(outputs["loss"].detach()))


def golden_config(method: str) -> DictConfig:
    """A run of two dozen steps with dropout."""
    return composed(*SMALL, *of_method(method), "steps=24", "model.dropout=0.1", "model.hidden_size=32")


def losses(method: str) -> list[float]:
    """The losses of a method's golden run."""
    with TemporaryDirectory() as folder:
        ticket = None
        if takes_ticket(golden_config(method)):
            parts(golden_config("dense")).fit(Path(folder) / "dense")
            ticket = Path(folder) / "dense" / "checkpoints" / "last.ckpt"
        run, watcher = parts(golden_config(method), ticket), Losses()
        run.fit(Path(folder) / method, watcher)
    return watcher.losses


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in METHODS:
        lines = [f"{step} {loss:.7f}" for step, loss in enumerate(losses(name))]
        (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n")

"""Checkpoint files: written atomically, read without running code that they bring along."""

import os
from pathlib import Path
from typing import Any, final

import torch
from lightning.fabric.plugins import TorchCheckpointIO


def load(path: Path, device: Any = "cpu") -> dict[str, Any]:
    """Returns a checkpoint of tensors and plain containers.

    Raises:
        ValueError: the file is missing or not a whole checkpoint.
    """
    if not path.exists():
        raise ValueError(f"there is no {path}; delete {path.parents[1]} to train it again")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a whole checkpoint; delete {path.parents[1]} to train it again") from error
    if not {"state_dict", "callbacks", "global_step"} <= checkpoint.keys():
        raise ValueError(f"{path} is not the checkpoint of a run; delete {path.parents[1]} to train it again")
    return checkpoint


@final
class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there, so that a kill leaves the old one or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return load(Path(path), map_location or "cpu")

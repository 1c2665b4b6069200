"""A network that is not trained and says what the one that is should say."""

from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
from transformers import PreTrainedModel

from models.heads import classes
from models.pretrained import Pretrained
from tasks.losses import Outputs


@final
class Teacher:
    """The network of a finished run or of a model with a trained head, in evaluation mode.

    It is no module, so that it is neither trained nor saved with a loss that holds it.

    Args:
        folder: of the run or model.
        network: the one that it teaches, of the same kind.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no folder is named, or its network has no such head, or other tokens or classes.
    """

    def __init__(self, folder: str | None, network: PreTrainedModel) -> None:
        if folder is None:
            raise ValueError("loss.teacher is missing: name the folder of a finished run or of a model")
        self.network: PreTrainedModel = learned(folder, network).requires_grad_(False).eval()

    def on(self, device: torch.device) -> PreTrainedModel:
        """Returns its network on a device."""
        if self.network.device != device:
            self.network.to(device)  # type: ignore[arg-type]  # wrapped without its own types
        return self.network

    def says(self, by: Callable[[PreTrainedModel], Outputs], device: torch.device) -> Outputs:
        """Returns what it says of a batch on a device; see `Loss.forward`."""
        with torch.no_grad():
            return by(self.on(device))


def learned(folder: str, network: PreTrainedModel) -> PreTrainedModel:
    """Returns the network of a folder that is of the same kind as another one, with every weight as it was saved.

    Raises:
        ValueError: it has no such head, or other tokens or classes.
    """
    path = Path(folder).expanduser()
    try:
        teacher = Pretrained(str(path / "model" if (path / "model").is_dir() else path)).complete(type(network))
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"loss.teacher={folder}: {error}") from error
    ours, theirs = network.config, teacher.config
    if theirs.vocab_size != ours.vocab_size:
        raise ValueError(f"loss.teacher={folder} has {theirs.vocab_size} tokens and not {ours.vocab_size}")
    names = classes(network), classes(teacher)
    named = [each for each in names if each[:1] != ["LABEL_0"]]
    if len(names[0]) != len(names[1]) or (len(named) == 2 and named[0] != named[1]):
        raise ValueError(f"loss.teacher={folder} has the classes {' and not '.join(map(', '.join, reversed(names)))}")
    return teacher

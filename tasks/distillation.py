"""Distillation: a teacher says what the trained network should say, and may show how it gets there."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from tasks.batches import Batch
from tasks.losses import Loss, Outputs
from tasks.teacher import Teacher


@final
class Distillation(Loss):
    """share * soft + (1 - share) * supervised + hidden * states + attention * relations.

    * soft: T^2 * KL(teacher || student) of the classes at temperature T (Hinton et al. 2015, arXiv 1503.02531, section
      2); the squared difference of a regression's outputs;
    * states: mean squared difference of embeddings and layer outputs (Jiao et al. 2020, arXiv 1909.10351, eq. 8 and 9),
      the layers being matched evenly; where the teacher is wider, a trained projection of the student's states;
    * relations: KL of what the heads of the last layers attend to, before dropout, and of how their values relate (Wang
      et al. 2020, arXiv 2002.10957, eq. 3 to 6).

    Choices that a row does not have and tokens that are padding take no part.

    Args:
        teacher: folder of a finished run, or of a model with a trained head.
        temperature: T, positive.
        share: of the soft targets, in [0, 1]; the rest is the labels'.
        hidden: factor of the states, at least 0.
        attention: factor of the relations, at least 0.
    """

    def __init__(
        self,
        teacher: str | None,
        temperature: float = 2.0,
        share: float = 1.0,
        hidden: float = 0.0,
        attention: float = 0.0,
    ) -> None:
        if not 0 < temperature < float("inf"):
            raise ValueError(f"loss.temperature={temperature} must be positive, such as 2")
        if not 0 <= share <= 1:
            raise ValueError(f"loss.share={share} must be at least 0 and at most 1")
        for key, factor in {"hidden": hidden, "attention": attention}.items():
            if not 0 <= factor < float("inf"):
                raise ValueError(f"loss.{key}={factor} must be at least 0")
        super().__init__()
        self.temperature, self.share = temperature, share
        self.hidden, self.attention = hidden, attention
        self.inside = hidden > 0 or attention > 0
        self._folder = teacher
        self.projection: nn.Module = nn.Identity()

    def prepare(self, network: PreTrainedModel, rows: Sequence[Any]) -> None:
        """Loads the teacher.

        Raises:
            ValueError: there is none, or it speaks of other tokens or classes, or the two cannot be compared inside.
        """
        self._teacher = Teacher(self._folder, network)
        self._student = (network,)  # in a tuple, so that it is no part of this module
        student, taught = network.config, self._teacher.network.config
        if self.hidden and taught.hidden_size != student.hidden_size:
            self.projection = nn.Linear(student.hidden_size, taught.hidden_size, bias=False)
        if self.attention and taught.num_attention_heads != student.num_attention_heads:
            raise ValueError(
                f"loss.attention compares heads, of which the teacher has {taught.num_attention_heads} and the"
                f" network {student.num_attention_heads}; use loss.hidden"
            )

    def asked(self, device: torch.device) -> Sequence[PreTrainedModel]:
        return (self._teacher.on(device),)

    def forward(self, outputs: Outputs, batch: Batch, by: Callable[[PreTrainedModel], Outputs]) -> Tensor:
        taught = self._teacher.says(by, outputs.logits.device)
        loss = self.share * soft(outputs.logits, taught.logits, self.temperature)
        if self.share < 1:
            loss = loss + (1 - self.share) * outputs.losses.mean()
        if self.hidden:
            loss = loss + self.hidden * states(outputs, taught, self.projection)
        if self.attention:
            (student,) = self._student
            found = relations(student, outputs.hidden), relations(self._teacher.network, taught.hidden)
            loss = loss + self.attention * sum(divergence(*pair, outputs.real) for pair in zip(*found, strict=True))
        return loss


def soft(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Returns T^2 * KL(teacher || student), the mean over examples; of one output, the squared difference."""
    if logits.shape[1] == 1:
        return functional.mse_loss(logits, teacher)
    absent = teacher == -torch.inf
    said = (logits / temperature).log_softmax(-1).masked_fill(absent, 0.0)
    right = (teacher / temperature).softmax(-1)
    return temperature**2 * (torch.xlogy(right, right) - right * said).sum(-1).mean()


def states(outputs: Outputs, teacher: Outputs, projection: nn.Module) -> Tensor:
    """Returns the squared difference of hidden states, the mean over layers, sequences, their tokens and dimensions."""
    last, teachers_last = len(outputs.hidden) - 1, len(teacher.hidden) - 1
    pairs = [
        (projection(state).float(), teacher.hidden[round(layer * teachers_last / last)].float())
        for layer, state in enumerate(outputs.hidden)
    ]
    lost = [functional.mse_loss(state, other, reduction="none").mean(-1) for state, other in pairs]
    return torch.stack([over_tokens(each, outputs.real) for each in lost]).mean()


def relations(network: PreTrainedModel, hidden: Sequence[Tensor]) -> list[Tensor]:
    """Returns the scaled products of queries and keys, and of values with each other, of the last layer's heads.

    They are of shape (sequences, heads, tokens, tokens).
    """
    encoder: Any = network.base_model.encoder
    layer = encoder.layer[-1].attention.self
    query, key, value = (
        part(hidden[-2]).unflatten(-1, (layer.num_attention_heads, -1)).transpose(1, 2)
        for part in (layer.query, layer.key, layer.value)
    )
    return [one @ other.transpose(-1, -2) / one.shape[-1] ** 0.5 for one, other in ((query, key), (value, value))]


def divergence(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """Returns KL(teacher || student) of the probabilities that products give, the mean over sequences, their tokens and
    heads.

    Args:
        student: (sequences, heads, tokens, tokens).
        teacher: of the same shape.
        real: which tokens are no padding, (sequences, tokens).
    """
    least = torch.finfo(torch.float32).min
    said, right = (each.float().masked_fill(~real[:, None, None], least).log_softmax(-1) for each in (student, teacher))
    lost = functional.kl_div(said, right, reduction="none", log_target=True).sum(-1)
    return over_tokens(lost.mean(1), real)


def over_tokens(values: Tensor, real: Tensor) -> Tensor:
    """Returns the mean over sequences of the mean over their real tokens, so that micro-batches and ranks add up.

    Args:
        values: (sequences, tokens).
        real: which tokens are no padding, of the same shape.
    """
    return (values.masked_fill(~real, 0.0).sum(1) / real.sum(1)).mean()

"""Losses that keep a network from learning what a bias-only model knows already.

b is the bias-only model's distribution over the classes of an example with label y, z the network's logits.
"""

from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from models.heads import classes
from tasks import bias_file, bias_model
from tasks.batches import Batch
from tasks.losses import Loss, Outputs
from tasks.rows import Pair, class_names
from tasks.teacher import Teacher

By = Callable[[PreTrainedModel], Outputs]


class Debiasing(Loss, ABC):
    """A loss that knows a bias-only model's log-probabilities of every training row.

    Args:
        bias_file: the file that they are in, see `tasks.bias_file`; None = those of a model that is trained on the
            training rows, see `tasks.bias_model`.
    """

    bias: Tensor

    def __init__(self, bias_file: str | None = None) -> None:
        super().__init__()
        self.bias_file = bias_file

    def prepare(self, network: PreTrainedModel, rows: Sequence[Any]) -> None:
        """Reads or trains the bias-only model.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the task has no fixed classes, or the model's predictions are not to be had.
        """
        names = classes(network)
        if not all(isinstance(row, Pair) for row in rows) or len(names) < 2:
            raise ValueError("a debiasing loss needs texts or pairs with classes; use loss=supervised for other tasks")
        if self.bias_file is None:
            found = bias_model.predictions(rows, len(names))
        else:
            found = bias_file.read(self.bias_file, [row.id for row in rows], class_names(names))
        # Not in checkpoints: it is data.
        self.register_buffer("bias", torch.from_numpy(found), persistent=False)

    def known(self, outputs: Outputs, batch: Batch) -> Tensor:
        """b of the label, (examples,): how well the bias-only model does on each example."""
        chosen = self.bias[batch["index"]].gather(1, outputs.labels[:, None])
        return chosen[:, 0].exp()


@final
class ProductOfExperts(Debiasing):
    """-log softmax(log softmax(z) + log b)_y: the network learns what b lacks (He et al. 2019, arXiv 1908.10763).

    Hinton 2002 has the product, Clark et al. 2019 (arXiv 1909.03683) call it bias product. b takes no part afterwards.
    """

    def forward(self, outputs: Outputs, batch: Batch, by: By) -> Tensor:
        return functional.cross_entropy(outputs.logits.log_softmax(-1) + self.bias[batch["index"]], outputs.labels)


@final
class Reweighting(Debiasing):
    """(1 - b_y)^beta times the cross-entropy: what the bias-only model gets right weighs little.

    Weights are divided by their mean over the training rows, so that beta changes whom the network listens to and not
    how loudly. SRNets' code (arXiv 2210.05211) divides by the mean over the batch, which would depend on accumulation
    and on the number of devices, and its paper, eq. 7, does not divide.

    Args:
        bias_file: see `Debiasing`.
        beta: at least 0, which is cross-entropy; 1 is the published loss.

    Raises:
        ValueError: `beta` is negative.
    """

    weights: Tensor

    def __init__(self, bias_file: str | None = None, beta: float = 1.0) -> None:
        if not 0 <= beta < float("inf"):
            raise ValueError(f"loss.beta={beta} must be at least 0")
        super().__init__(bias_file)
        self.beta = beta

    def prepare(self, network: PreTrainedModel, rows: Sequence[Any]) -> None:
        super().prepare(network, rows)
        labels = torch.tensor([row.label for row in rows])
        weights = (1 - self.bias.gather(1, labels[:, None])[:, 0].double().exp()).clamp_min(0).pow(self.beta)
        if not weights.sum() > 0:
            raise ValueError("the bias-only model is sure of every training row, so that nothing is left to learn from")
        self.register_buffer("weights", (weights / weights.mean()).float(), persistent=False)

    def forward(self, outputs: Outputs, batch: Batch, by: By) -> Tensor:
        return (self.weights[batch["index"]] * outputs.losses).mean()


@final
class ConfidenceRegularization(Debiasing):
    """-sum_k q_k log p_k with q = t^(1 - b_y) / sum(t^(1 - b_y)): the teacher t, less sure the more b knows.

    Utama et al. 2020 (arXiv 2005.00315), as in SRNets. The teacher is a model trained without any of this.

    Args:
        teacher: folder of a finished run, or of a model with a trained head.
        bias_file: see `Debiasing`.
    """

    def __init__(self, teacher: str | None, bias_file: str | None = None) -> None:
        super().__init__(bias_file)
        self._folder = teacher

    def prepare(self, network: PreTrainedModel, rows: Sequence[Any]) -> None:
        self._teacher = Teacher(self._folder, network)
        super().prepare(network, rows)

    def asked(self, device: torch.device) -> Sequence[PreTrainedModel]:
        return (self._teacher.on(device),)

    def forward(self, outputs: Outputs, batch: Batch, by: By) -> Tensor:
        said = self._teacher.says(by, outputs.logits.device).logits.log_softmax(-1)
        target = ((1 - self.known(outputs, batch))[:, None] * said).softmax(-1)
        return functional.cross_entropy(outputs.logits, target)


@final
class LearnedMixin(Debiasing):
    """Product of experts in which the network says how much the bias-only model is to be believed.

    -log softmax(log softmax(z) + g log b)_y + penalty * H(softmax(g log b)), g = softplus(w h + c), h the last hidden
    state of the first token, w and c trained (Clark et al. 2019, arXiv 1909.03683, section 3.2). The entropy H
    keeps g from vanishing, which would leave cross-entropy.

    Args:
        bias_file: see `Debiasing`.
        penalty: factor of the entropy, at least 0, which is learned-mixin without "+H".

    Raises:
        ValueError: `penalty` is negative.
    """

    inside = True

    def __init__(self, bias_file: str | None = None, penalty: float = 0.03) -> None:
        if not 0 <= penalty < float("inf"):
            raise ValueError(f"loss.penalty={penalty} must be at least 0")
        super().__init__(bias_file)
        self.penalty = penalty

    def prepare(self, network: PreTrainedModel, rows: Sequence[Any]) -> None:
        super().prepare(network, rows)
        self.trust = nn.Linear(network.config.hidden_size, 1)

    def forward(self, outputs: Outputs, batch: Batch, by: By) -> Tensor:
        # Float32 also under autocast, as all that is said of logits.
        trust = functional.softplus(self.trust(outputs.hidden[-1][:, 0]).float())
        believed = trust * self.bias[batch["index"]]
        distribution = believed.log_softmax(-1)
        entropy = -(distribution.exp() * distribution).sum(-1).mean()
        joint = outputs.logits.log_softmax(-1) + believed
        return functional.cross_entropy(joint, outputs.labels) + self.penalty * entropy

"""Gives scores what they ask for: weights, gradients of the step or of some batches, memories, activations, draws."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter

from callbacks.activations import input_norms
from callbacks.gradients import batch_gradients, flow_gradient, hessian_gradient, mean_gradient
from sparsity.memories import Running, Sampled
from sparsity.scores import FORWARD_PASSES, Score, evaluate, needs

Inputs = dict[str, dict[str, Tensor]]  # by name of the input and of the weight


@final
class Scoring:
    """Evaluates scores on the weights in scope, and keeps what those that look back remember.

    Args:
        seed: of the random draws, which use a generator of their own, seeded with (seed, use, step).
        updating: the scores that updates use, so that what they remember is kept up to date.
        batches: training batches over which anything is taken outside the steps of training.

    Raises:
        ValueError: there are no batches.
    """

    def __init__(self, seed: int = 0, updating: Sequence[Score] = (), batches: int = 1) -> None:
        if batches < 1:
            raise ValueError(f"method.sparsifier.gradient_batches={batches} must be at least 1 batch")
        self.seed = seed
        self.batches = batches
        self._running = [score for score in updating if isinstance(score, Running)]
        self._memories: list[dict[str, Tensor]] = [{} for _ in self._running]

    def attach(self, trainer: Trainer, module: LightningModule, weights: Mapping[str, Parameter]) -> None:
        """Says whose weights are scored."""
        self._trainer, self._module, self._weights = trainer, module, weights

    def inputs(self, score: Score, step: int) -> Inputs:
        """Returns what a score asks for, of each weight in scope.

        Gradients are those of the present step, and before training the mean over `batches` batches; all else is taken
        over so many batches from the present step on.
        """
        sampling = self._trainer, self._module, self._weights, self.batches
        makers: dict[str, Callable[[], dict[str, Tensor]]] = {
            "gradient": lambda: self.present_gradients() if step else mean_gradient(*sampling),
            "memory": lambda: self._memory(score, step),
            "hessian_gradient": lambda: hessian_gradient(*sampling),
            "input_norm": lambda: input_norms(*sampling),
            "flow_gradient": lambda: flow_gradient(self._module, self._weights),
        }
        return {name: makers[name]() for name in needs(score) - {"weight", "generator"}}

    def scores(self, score: Score, step: int, inputs: Inputs | None = None, use: int = 0) -> dict[str, Tensor]:
        """Evaluates a score on every weight in scope, pruned ones included.

        Args:
            step: seeds the random draws together with the run's seed and the use.
            inputs: if they have been made already.
            use: 0 or 1, so that two random scores of one step are independent.
        """
        # Of a seed, the generator takes the lower 32 bits: uses are apart by half of what seeds are.
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + use * 500_001 + step) % 2**63)
        made = self.inputs(score, step) if inputs is None else inputs
        return {
            name: evaluate(
                score,
                weight=weight.detach(),
                generator=generator,
                **{key: tensors[name] for key, tensors in made.items()},
            )
            for name, weight in self._weights.items()
        }

    def present_gradients(self) -> dict[str, Tensor]:
        """Returns the gradients of the step; zero for what the loss did not depend on."""
        return {
            name: torch.zeros_like(weight) if weight.grad is None else weight.grad
            for name, weight in self._weights.items()
        }

    def forward_passes(self, score: Score, step: int) -> int:
        """Returns what making a score's inputs costs at a step, in forward passes of the batches looked at."""
        at_hand = {"gradient"} if step else set()  # the step's own
        if step and isinstance(score, Running):
            at_hand.add("memory")
        return self.batches * sum(FORWARD_PASSES[name] for name in needs(score) - at_hand)

    def remember(self) -> None:
        """Shows the gradients of a step to the scores that look back."""
        if self._running:
            gradients = self.present_gradients()
            for score, memories in zip(self._running, self._memories, strict=True):
                self._accumulate(score, memories, gradients)

    def forget(self) -> None:
        """Ends the window of the scores that look back to the last update only."""
        for score, memories in zip(self._running, self._memories, strict=True):
            if score.since_update:
                memories.clear()

    def state_dict(self) -> list[dict[str, Tensor]]:
        """What a checkpoint has to keep."""
        return [{name: tensor.cpu() for name, tensor in memories.items()} for memories in self._memories]

    def load_state_dict(self, state: Sequence[Mapping[str, Tensor]]) -> None:
        """Takes back what `state_dict` returned."""
        devices = {name: weight.device for name, weight in self._weights.items()}
        self._memories = [{name: tensor.to(devices[name]) for name, tensor in each.items()} for each in state]

    def _memory(self, score: Score, step: int) -> dict[str, Tensor]:
        assert isinstance(score, Running | Sampled)
        for running, memories in zip(self._running, self._memories, strict=True):
            if running is score and step:
                return memories
        memories = {}
        share = {"share": 1 / self.batches} if isinstance(score, Sampled) else {}
        for gradients in batch_gradients(self._trainer, self._module, self._weights, self.batches):
            self._accumulate(score, memories, gradients, **share)
        return memories

    def _accumulate(
        self, score: Running | Sampled, memories: dict[str, Tensor], gradients: Mapping[str, Tensor], **share: Any
    ) -> None:
        for name, weight in self._weights.items():
            memories[name] = score.accumulate(memories.get(name), weight.detach(), gradients[name].float(), **share)

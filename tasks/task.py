"""What is trained: a network, its data and its loss, as a LightningModule that knows nothing of sparsity."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torchmetrics import MeanMetric, Metric
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from models.flow import flow
from tasks.batches import Batch, Example, LengthGroupedBatches, Loader, evaluation_batches
from tasks.encoding import positions
from tasks.optim import Optim


class Model(Protocol):
    """Where a network and its tokenizer come from; see the package `models`."""

    name: str

    def tokenizer(self) -> PreTrainedTokenizerBase: ...

    def build(self, auto_class: Any, **config: Any) -> PreTrainedModel: ...


class Task(LightningModule, ABC):
    """Trains and evaluates `network` on encoded examples.

    A run is one Lightning epoch of `steps * accumulate` micro-batches, so that a checkpoint of any step resumes.

    Args:
        network: a plain transformers model with a head.
        tokenizer: its tokenizer.
        examples: encoded rows of the splits "train", "val" and, where there is one, "test".
        collate: makes a batch of examples.
        metrics: measures of (predicted classes, labels), logged as val/<name> and test/<name> beside the loss.
        optim: optimizer and learning-rate schedule.
        batch_size: examples per optimizer step, whatever the accumulation and the number of devices.
        steps: optimizer steps of the run, from which the schedule is made.
        seed: of the order of the training data.
        accumulate: micro-batches per optimizer step; the trainer's `accumulate_grad_batches` has to be the same.

    Raises:
        ValueError: "train" or "val" is missing or empty, or tokenizer and network do not fit.
    """

    def __init__(
        self,
        *,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        examples: Mapping[str, Sequence[Example]],
        collate: Callable[[Sequence[Example], int], Batch],
        metrics: Mapping[str, Metric],
        optim: Optim,
        batch_size: int,
        steps: int,
        seed: int,
        accumulate: int,
    ) -> None:
        super().__init__()
        for split in ("train", "val"):
            if not examples.get(split):
                raise ValueError(f"the data of the task has no rows in the split '{split}'")
        if len(tokenizer) > network.config.vocab_size:
            raise ValueError(
                f"the tokenizer has {len(tokenizer)} tokens but the network {network.config.vocab_size} embeddings:"
                f" they do not belong together"
            )
        self.network = network
        self.tokenizer = tokenizer
        self.examples = dict(examples)
        self.optim = optim
        self.batch_size = batch_size
        self.steps = steps
        self.seed = seed
        self.accumulate = accumulate
        self.metrics = nn.ModuleDict(
            {
                split: nn.ModuleDict({name: metric.clone() for name, metric in metrics.items()})
                for split in examples
                if split != "train"
            }
        )
        self.losses = nn.ModuleDict({split: MeanMetric(nan_strategy=float("inf")) for split in self.metrics})
        self._collate = collate

    @abstractmethod
    def logits(self, batch: Batch) -> Tensor:
        """Scores of the classes or choices, shape (batch, classes); -inf where a row has no such choice."""

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of a batch, a scalar in nats."""
        return functional.cross_entropy(self.logits(batch).float(), batch["labels"])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=False, batch_size=len(batch["labels"]))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def _evaluate(self, batch: Batch, split: str) -> None:
        logits = self.logits(batch).float()
        size = len(batch["labels"])
        losses: Any = self.losses[split]
        measures: Any = self.metrics[split]
        losses.update(functional.cross_entropy(logits, batch["labels"]), weight=size)
        # A metric and not a number: Lightning's own mean over ranks is wrong where batches differ in size.
        self.log(f"{split}/loss", losses, on_step=False, on_epoch=True, batch_size=size)
        for name, metric in measures.items():
            metric.update(logits.argmax(dim=-1), batch["labels"])
            self.log(f"{split}/{name}", metric, on_step=False, on_epoch=True, batch_size=size, prog_bar=split == "val")

    @property
    def monitor(self) -> str:
        """Name of the validation metric that says which checkpoint is best; higher is better."""
        measures: Any = self.metrics["val"]
        return f"val/{next(iter(measures))}"

    @property
    def validation_examples(self) -> int:
        """Size of the validation split."""
        return len(self.examples["val"])

    @property
    def tested(self) -> bool:
        """Whether there is a labelled test split."""
        return "test" in self.examples

    def size(self, batch: Batch) -> tuple[int, int, int]:
        """Examples of a batch, sequences that they are, and tokens per sequence, padding included."""
        *sequences, length = batch["input_ids"].shape
        return len(batch["labels"]), math.prod(sequences), length

    def tokens(self, batch: Batch) -> Tensor:
        """Where a batch has tokens and not padding: bool, (sequences, tokens per sequence)."""
        return batch["attention_mask"].flatten(end_dim=-2).bool()

    def save(self, folder: Path) -> None:
        """Saves network and tokenizer as plain transformers open them."""
        logging.disable_progress_bar()
        self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Loads weights.

        Raises:
            ValueError: they are those of another model.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            reason = " ".join(str(error).splitlines()[1].split())
            raise ValueError(f"the checkpoint belongs to another model: {reason[:200]}") from error

    def configure_optimizers(self) -> Any:
        optimizer, schedule = self.optim.build(self.network, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        # Lightning refuses to clip for a fused optimizer under autocast, because that may be scaling gradients;
        # bfloat16 needs no scaling, and float16 is refused elsewhere.
        algorithm = gradient_clip_algorithm or GradClipAlgorithmType.NORM
        Precision.clip_gradients(self.trainer.precision_plugin, optimizer, gradient_clip_val or 0.0, algorithm)

    def flow(self, weights: Mapping[str, Tensor]) -> Tensor:
        """What flows through the network with these weights, without data; see `models.flow`."""
        example = self._collate(self.examples["train"][:1], self.tokenizer.pad_token_id)["input_ids"]
        return flow(self.network, weights, example.new_zeros([1] * example.dim(), device=self.device))

    def train_dataloader(self) -> Loader:
        """The training batches from the trainer's present step on, or from the beginning without a trainer."""
        return self._training_loader(self.steps)

    def sample_dataloader(self, batches: int) -> Loader:
        """As `train_dataloader`, but for so many optimizer steps from the present one on, be the run shorter or not."""
        return self._training_loader(self._place()[2] + batches)

    def _training_loader(self, steps: int) -> Loader:
        rank, world_size, step = self._place()
        order = LengthGroupedBatches(
            lengths=[example.length for example in self.examples["train"]],
            batch_size=self.batch_size,
            steps=steps,
            seed=self.seed,
            accumulate=self.accumulate,
            rank=rank,
            world_size=world_size,
            start=step * self.accumulate,
        )
        return self._loader("train", order)

    def val_dataloader(self) -> Loader:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> Loader:
        """The labelled test split.

        Raises:
            ValueError: the data has none.
        """
        if "test" not in self.examples:
            raise ValueError(f"the data of the task has no labelled test split, only {', '.join(self.examples)}")
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: str) -> Loader:
        rank, world_size, _ = self._place()
        lengths = [example.length for example in self.examples[split]]
        # No more examples at once than in training, whose gradients need more memory than evaluation.
        size = max(1, self.batch_size // (self.accumulate * world_size))
        return self._loader(split, evaluation_batches(lengths, size, rank, world_size))

    def _loader(self, split: str, order: LengthGroupedBatches | list[list[int]]) -> Loader:
        padding = self.tokenizer.pad_token_id
        return Loader(self.examples[split], order, lambda examples: self._collate(examples, padding))

    def _place(self) -> tuple[int, int, int]:
        """Rank, number of ranks and optimizer step of the trainer, where one is attached."""
        trainer = self._trainer
        return (0, 1, 0) if trainer is None else (trainer.global_rank, trainer.world_size, trainer.global_step)


def room(network: PreTrainedModel, max_length: int | None) -> int:
    """Tokens a sequence may have: what the position table allows, or `max_length` if that is less."""
    allowed = positions(network.config)
    return allowed if max_length is None else min(max_length, allowed)

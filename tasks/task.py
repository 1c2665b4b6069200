"""What is trained: a network, its data and its loss, as a LightningModule that knows nothing of sparsity."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torchmetrics import Metric
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from models.blocks import head
from models.flow import flow
from models.saving import save
from tasks.batches import INPUTS, Batch, Encoded, Loader, Noise, unchanged
from tasks.chance import chance_level
from tasks.loading import Loading
from tasks.losses import Outputs
from tasks.measures import Measures
from tasks.predictions import Predictions, Said
from tasks.recipe import Recipe
from tasks.splits import splits


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
        data: rows by split: "train", "val", and whatever else is evaluated; `tasks.splits` says when. A run of no
            steps needs no "train".
        examples: the rows encoded.
        collate: makes a batch of examples.
        metrics: measures of (predictions, labels), logged as <split>/<name> beside the loss; see `tasks.measures`.
        recipe: how it is trained.
        submission: split -> file of a benchmark's server that its predictions are also written to.
        noise: what is done to each batch; see `Loader`.

    Raises:
        ValueError: a split that is needed is missing or empty, or tokenizer and network do not fit.
    """

    predicts = True  # whether there is something to write of each row
    higher_is_better = True  # of the metric that says which checkpoint is best
    chance = chance_level  # of the same, a method

    def __init__(
        self,
        *,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        data: Mapping[str, Sequence[Any]],
        examples: Mapping[str, Sequence[Encoded]],
        collate: Callable[[Sequence[Any], int], Batch],
        metrics: Mapping[str, Metric],
        recipe: Recipe,
        submission: Mapping[str, str] | None = None,
        noise: Noise = unchanged,
    ) -> None:
        super().__init__()
        self.steps = recipe.steps(len(examples.get("train", ())))
        self.splits = splits(examples, self.steps)
        self.tested = bool(self.splits.tested)
        if len(tokenizer) > network.config.vocab_size:
            raise ValueError(
                f"the tokenizer has {len(tokenizer)} tokens but the network {network.config.vocab_size} embeddings"
            )
        if self.steps > 0:
            recipe.loss.prepare(network, data["train"])
        self.untrained = list(getattr(network, "untrained", ()))  # of a model that is new as a whole, nothing
        self.network = recipe.tuning(network)
        self.head = frozenset(name for name, _ in head(self.network))
        self.tokenizer, self.data, self.examples = tokenizer, dict(data), dict(examples)
        self.optim, self.objective, self._prepared = recipe.optim, recipe.loss, self.steps > 0
        self.batch_size, self.accumulate = recipe.batch_size, recipe.accumulate
        measured = [split for split in examples if split != "train" and split not in self.splits.unlabelled]
        self.metrics = nn.ModuleDict({split: Measures(metrics, self.data[split]) for split in measured})
        self.monitor = f"val/{next(iter(metrics))}"  # says which checkpoint is best
        self.said, self.submission = Predictions(), dict(submission or {})
        self.loading = Loading(self.examples, lambda part: collate(part, tokenizer.pad_token_id), recipe, noise)

    @abstractmethod
    def logits(self, scores: Tensor, batch: Batch) -> Tensor:
        """What the head says, in the shape (batch, classes); -inf where a row has no such choice."""

    def criterion(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The task's own loss of each example, (batch,); cross-entropy in nats."""
        return functional.cross_entropy(logits, labels, reduction="none")

    def predictions(self, logits: Tensor) -> Tensor:
        """What is predicted of each example, (batch,); the class of the highest score."""
        return logits.argmax(dim=-1)

    def outputs(self, batch: Batch, network: PreTrainedModel | None = None, inside: bool = False) -> Outputs:
        """What the network, or another one of its kind, says of a batch; `inside` also of what goes on in it."""
        inputs = {name: batch[name] for name in INPUTS if name in batch}
        said = (network or self.network)(**inputs, output_hidden_states=inside)
        logits = self.logits(said.logits, batch).float()
        losses = self.criterion(logits, batch["labels"])
        return Outputs(logits, batch["labels"], losses, said.hidden_states or (), self.tokens(batch))

    def loss(self, batch: Batch) -> Tensor:
        """What is descended on a batch of the training split, a scalar."""
        if not self._prepared:  # without steps, only a method that looks at gradients asks
            self.objective.prepare(self.network, self.data["train"])
            self.objective.to(self.device)
            self._prepared = True
        outputs = partial(self.outputs, batch, inside=self.objective.inside)
        loss: Tensor = self.objective(outputs(), batch, outputs)
        return loss

    @property
    def asked(self) -> Sequence[nn.Module]:
        """Networks that say something of each training batch, too."""
        return self.objective.asked(self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=False, batch_size=len(batch["labels"]))
        self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"], on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._evaluate(batch, self.splits.validated[dataloader_idx], batch_idx)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._evaluate(batch, self.splits.tested[dataloader_idx], batch_idx)

    def _evaluate(self, batch: Batch, split: str, number: int) -> None:
        outputs = self.outputs(batch)
        predictions = self.predictions(outputs.logits)
        if self.predicts:
            self.said.add(split, Said(batch["index"], outputs.logits, predictions), anew=number == 0)
        if split in self.splits.unlabelled:
            return
        measures: Any = self.metrics[split]
        measures.update_from(outputs, predictions, batch, self.criterion)
        # Metrics and not numbers: Lightning's own mean over ranks is wrong where batches differ in size.
        for name, metric in measures.items():
            self.log(
                f"{split}/{name}",
                metric,
                on_step=False,
                on_epoch=True,
                batch_size=len(outputs.labels),
                prog_bar=split == "val" and name in measures.names,
                add_dataloader_idx=False,
            )

    @property
    def validation_examples(self) -> int:
        """How many examples a validation evaluates."""
        return sum(len(self.examples[split]) for split in self.splits.validated)

    def size(self, batch: Batch) -> tuple[int, int, int]:
        """Examples of a batch, sequences that they are, and tokens per sequence, padding included."""
        *sequences, length = batch["input_ids"].shape
        return len(batch["index"]), math.prod(sequences), length

    def tokens(self, batch: Batch) -> Tensor:
        """Where a batch has tokens and not padding: bool, (sequences, tokens per sequence)."""
        return batch["attention_mask"].flatten(end_dim=-2).bool()

    def save(self, folder: Path) -> None:
        """Saves, on the first rank, network and tokenizer as plain transformers open them; what can be merged is."""
        if self.global_rank == 0:
            logging.disable_progress_bar()
            save(self.network, folder)
            self.tokenizer.save_pretrained(folder)

    def called(self, value: Any) -> object:
        """What a predicted or true class, or number, is called where it is written."""
        return value

    def submitted(self, value: Any) -> str:
        """A predicted class or number as a benchmark's server wants it."""
        return str(self.called(value))

    def write_predictions(self, folder: Path) -> None:
        """Writes what the latest evaluation of each split said: predictions/<split>.jsonl and submission/<name>.tsv."""
        self.said.write(folder, self.data, self.called)
        self.said.submit(folder, self.submission, self.submitted)

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
        optimizer, schedule = self.optim.build(nn.ModuleList([self.network, self.objective]), self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        # Lightning refuses to clip for a fused optimizer under autocast, because that may be scaling gradients;
        # bfloat16 needs no scaling, and float16 is refused elsewhere.
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
        Precision.clip_gradients(self.trainer.precision_plugin, optimizer, gradient_clip_val or 0.0, algorithm)

    def flow(self, weights: Mapping[str, Tensor]) -> Tensor:
        """What flows through the network with these weights, without data; see `models.flow`."""
        example = self.loading.collate(next(iter(self.examples.values()))[:1])["input_ids"]
        return flow(self.network, weights, example.new_zeros([1] * example.dim(), device=self.device))

    def train_dataloader(self) -> Loader:
        """The training batches from the trainer's present step on, or from the beginning without a trainer."""
        return self.loading.training(self.steps, *self._place())

    def sample_dataloader(self, batches: int) -> Loader:
        """As `train_dataloader`, but for so many optimizer steps from the present one on, be the run shorter or not."""
        return self.loading.training(self._place()[2] + batches, *self._place())

    def val_dataloader(self) -> list[Loader]:
        return [self.loading.evaluation(split, *self._place()[:2]) for split in self.splits.validated]

    def test_dataloader(self) -> list[Loader]:
        return [self.loading.evaluation(split, *self._place()[:2]) for split in self.splits.tested]

    def _place(self) -> tuple[int, int, int]:
        """Rank, number of ranks and optimizer step of the trainer, where one is attached."""
        trainer = self._trainer
        return (0, 1, 0) if trainer is None else (trainer.global_rank, trainer.world_size, trainer.global_step)

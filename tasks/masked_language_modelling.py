"""Masked language modelling: which words are hidden in a text?"""

from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy
from transformers import AutoModelForMaskedLM, PreTrainedModel

from models.heads import only
from tasks.batches import Batch
from tasks.chunks import Chunks, padded
from tasks.encoding import room
from tasks.losses import Outputs
from tasks.recipe import Recipe
from tasks.rows import Document
from tasks.task import Model, Task
from tasks.word_masking import WordMasking


@final
class MaskedLanguageModelling(Task):
    """Guesses the tokens of masked words. What `Outputs` calls an example is a masked token, and its classes the
    vocabulary; a batch counts sequences.

    <split>/perplexity is the exponential of the mean loss over all masked tokens of a split, whatever the batches.

    Args:
        data: documents by split.
        model: where the network and the tokenizer come from.
        recipe: how it is trained.
        max_length: most tokens per sequence; None allows what the model does.
        across_documents: whether a sequence goes on with the next document.
        share: of the words that are masked.

    Raises:
        ValueError: the tokenizer has no mask token, or a number is out of range.
    """

    predicts = False  # tokens, too many to keep
    higher_is_better = False

    def __init__(
        self,
        data: Mapping[str, Sequence[Document]],
        model: Model,
        recipe: Recipe,
        max_length: int | None = None,
        across_documents: bool = True,
        share: float = 0.15,
    ) -> None:
        network, tokenizer = model.build(AutoModelForMaskedLM), model.tokenizer()
        if tokenizer.mask_token_id is None:
            raise ValueError(f"model '{model.name}' has no mask token in its tokenizer; name one that has")
        length = room(network.config, max_length)
        super().__init__(
            network=network,
            tokenizer=tokenizer,
            data=data,
            examples={split: Chunks(tokenizer, rows, length, across_documents) for split, rows in data.items()},
            collate=padded,
            metrics={"accuracy": MulticlassAccuracy(num_classes=network.config.vocab_size, average="micro")},
            recipe=recipe,
            noise=WordMasking(share, tokenizer.mask_token_id, len(tokenizer), recipe.seed),
        )
        self.monitor = "val/perplexity"

    def outputs(self, batch: Batch, network: PreTrainedModel | None = None, inside: bool = False) -> Outputs:
        # Scores of a whole vocabulary at every place would be most of the memory.
        with only(network or self.network, batch["masked"]):
            return super().outputs(batch, network, inside)

    def logits(self, scores: Tensor, batch: Batch) -> Tensor:
        """Scores of the vocabulary, shape (masked tokens, vocabulary)."""
        return scores

    def on_validation_epoch_end(self) -> None:
        for split in self.splits.validated:
            self._log_perplexity(split)

    def on_test_epoch_end(self) -> None:
        for split in self.splits.tested:
            self._log_perplexity(split)

    def _log_perplexity(self, split: str) -> None:
        # The metric has been joined over ranks when it is computed: all have the same number.
        measures: Any = self.metrics[split]
        perplexity = measures["loss"].compute().exp()
        self.log(f"{split}/perplexity", perplexity, prog_bar=split == "val", sync_dist=True)

"""Which words are masked: a pure function of the seed, the step and the example.

The DataCollatorForLanguageModeling of transformers draws from one stream, which a run that resumes would have to wind
on; with whole words it replaces nothing by random tokens and nothing by itself; and it takes words apart at gaps, so
that a punctuation mark belongs to the word before it.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from tasks.batches import Batch

TRAINING, EVALUATION = 2, 3  # keys of random streams, beside those of the order of batches


@final
@dataclass(frozen=True)
class WordMasking:
    """Masks whole words, each with the same probability and at least one of a sequence.

    Of the tokens of masked words 80 % become the mask token, 10 % any token and 10 % stay (BERT, Devlin et al. 2019,
    arXiv 1810.04805, appendix A.1; whole words: its repository). In evaluation an example has the same masks always,
    whatever the seed.

    Attributes:
        share: of the words that are masked.
        mask: id of the mask token.
        vocabulary: number of tokens.
        seed: of the run.

    Raises:
        ValueError: the share is not above 0 and below 1.
    """

    share: float
    mask: int
    vocabulary: int
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"task.module.share={self.share} must be above 0 and below 1")

    def __call__(self, batch: Batch, step: int | None) -> Batch:
        """The batch with masked `input_ids`, `masked` (batch, tokens), and `labels` (masked tokens,) in their order."""
        ids, words = batch["input_ids"].numpy(), batch["words"].numpy()
        shown, masked = ids.copy(), np.zeros(ids.shape, bool)
        for row, index in enumerate(batch["index"].tolist()):
            key = (0, EVALUATION, index) if step is None else (self.seed, TRAINING, step, index)
            draw = np.random.default_rng(key)
            count = int(words[row].max()) + 1
            chosen = draw.random(count) < self.share
            if not chosen.any():
                chosen[draw.integers(count)] = True
            masked[row] = (words[row] >= 0) & chosen[words[row]]
            # As many draws as there are masked tokens, so that padding does not matter.
            places = np.flatnonzero(masked[row])
            dice, others = draw.random(len(places)), draw.integers(self.vocabulary, size=len(places))
            shown[row, places] = np.where(dice < 0.8, self.mask, np.where(dice < 0.9, others, shown[row, places]))
        rest = {name: tensor for name, tensor in batch.items() if name != "words"}
        changed = {"input_ids": shown, "masked": masked, "labels": ids[masked]}
        return rest | {name: torch.from_numpy(array) for name, array in changed.items()}

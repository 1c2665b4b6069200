"""Multiple choice: each choice is encoded with the question and scored by a forward of its own."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import final

from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy
from transformers import AutoModelForMultipleChoice, PreTrainedTokenizerBase

from tasks.batches import Batch, Example, choices
from tasks.encoding import Encode, pair, room
from tasks.recipe import Recipe
from tasks.rows import Question, answer
from tasks.task import Model, Task


@final
class MultipleChoice(Task):
    """Chooses one of two or more answers; their number may differ from row to row.

    Args:
        data: questions by split.
        model: where the network and the tokenizer come from.
        recipe: how it is trained; a batch is one of questions.
        question: template of the first text, with {} for the question.
        choice: template of the second text, with {} for the choice.
        encode: joins the two texts.
        max_length: most tokens per sequence; None allows what the model does.

    Raises:
        ValueError: a template has no {}, or a row has a label outside of its choices.
    """

    def __init__(
        self,
        data: Mapping[str, Sequence[Question]],
        model: Model,
        recipe: Recipe,
        question: str = "{}",
        choice: str = "{}",
        encode: Encode = pair,
        max_length: int | None = None,
    ) -> None:
        for key, template in {"question": question, "choice": choice}.items():
            if template.count("{}") != 1:
                raise ValueError(f"task.module.{key}={template!r} does not have {{}} exactly once, for the text")
        network, tokenizer = model.build(AutoModelForMultipleChoice), model.tokenizer()
        most = max((len(row.choices) for rows in data.values() for row in rows), default=2)
        templates = (question, choice)
        length = room(network.config, max_length)
        super().__init__(
            network=network,
            tokenizer=tokenizer,
            data=data,
            examples={split: encoded(tokenizer, rows, templates, encode, length) for split, rows in data.items()},
            collate=choices,
            metrics={"accuracy": MulticlassAccuracy(num_classes=most, average="micro")},
            recipe=recipe,
        )

    def logits(self, scores: Tensor, batch: Batch) -> Tensor:
        """Scores of the choices, shape (batch, most choices); -inf where a row has fewer."""
        present = batch["present"]
        return scores.new_full(present.shape, float("-inf")).masked_scatter(present, scores.flatten())


def encoded(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Question],
    templates: tuple[str, str],
    encode: Encode,
    max_length: int,
) -> list[Example]:
    """Examples with one sequence per choice.

    Raises:
        ValueError: a row has a label outside of its choices.
    """
    question, choice = templates
    # Not str.format: a template may have other braces.
    firsts = [question.replace("{}", row.text) for row in rows for _ in row.choices]
    seconds = [choice.replace("{}", text) for row in rows for text in row.choices]
    both = encode(tokenizer, firsts, seconds, max_length)
    ids, types = iter(both.ids), None if both.types is None else iter(both.types)
    return [
        Example(
            ids=list(islice(ids, len(row.choices))),
            types=None if types is None else list(islice(types, len(row.choices))),
            label=answer(row, len(row.choices)),
        )
        for row in rows
    ]

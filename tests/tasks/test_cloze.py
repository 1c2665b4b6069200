"""Blanks filled by the language-model head: scores and losses against a loop by hand, and sentences refused."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch.optim import AdamW
from transformers import AutoModelForMaskedLM, RobertaTokenizer

from models.pretrained import Pretrained
from models.tiny import Tiny
from models.tuning import Full
from tasks.cloze import BlankFilling
from tasks.encoding import with_blank
from tasks.losses import Supervised
from tasks.optim import Optim, linear
from tasks.recipe import Recipe
from tasks.rows import Cloze
from tests.conftest import composed

ROWS = [
    Cloze("the ba ke gave the tolu to ", ("mi", "so lu ka", "be"), " because it was so.", 1, "0"),
    Cloze("", ("kolumi", "to"), "'s ba was late", 0, "1"),
    Cloze("ba or ", ("ke", "mi"), "", 1, "2"),
]
OPTIM = Optim(partial(AdamW, lr=1e-3), partial(linear, warmup=0.1))
ROBERTA = RobertaTokenizer(
    vocab={
        token: index
        for index, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())])
    },
    merges=[],
)


def task(
    alpha: float = 5.0, beta: float = 0.4, rows: list[Cloze] = ROWS, more: list[Cloze] | None = None, **changes: Any
) -> BlankFilling:
    torch.manual_seed(0)
    recipe = Recipe(OPTIM, Supervised(), Full(), batch_size=3, steps=lambda examples: 4, seed=0)
    data = {"train": rows, "val": rows} | ({"test": more} if more else {})
    given = {"data": data, "model": Tiny(hidden_size=32, intermediate_size=32), "recipe": recipe}
    return BlankFilling(**given | {"alpha": alpha, "beta": beta} | changes)


def by_hand(module: BlankFilling, row: Cloze, option: str) -> torch.Tensor:
    """Mean log-probability of the option's tokens, each row encoded alone by the tokenizer itself."""
    tokenizer = module.tokenizer
    size = len(tokenizer(option, add_special_tokens=False)["input_ids"])
    first = 1 + len(tokenizer(row.before, add_special_tokens=False)["input_ids"])
    ids = torch.tensor(tokenizer(row.before + option + row.after)["input_ids"])
    shown = ids.clone()
    shown[first : first + size] = tokenizer.mask_token_id
    probabilities = module.network(input_ids=shown[None]).logits[0].log_softmax(-1)
    return torch.stack([probabilities[place, ids[place]] for place in range(first, first + size)]).mean()


def test_scores_and_loss_are_those_of_a_loop_by_hand() -> None:
    module = task().eval()
    (batch,) = module.val_dataloader()[0]
    with torch.no_grad():
        outputs = module.outputs(batch)
        for number, index in enumerate(batch["index"].tolist()):
            row = ROWS[index]
            scores = torch.stack([by_hand(module, row, option) for option in row.options])
            torch.testing.assert_close(outputs.logits[number, : len(scores)], scores, rtol=1e-5, atol=1e-5)
            assert outputs.logits[number, len(scores) :].tolist() == [float("-inf")] * (3 - len(scores))
            right = scores[row.label]
            margins = [5.0 * max(0.0, float(wrong - right) + 0.4) for at, wrong in enumerate(scores) if at != row.label]
            assert outputs.losses[number].item() == pytest.approx(-right.item() + sum(margins), rel=1e-5)


def test_sentences_without_labels_are_scored_and_not_measured() -> None:
    known, blind = (task(rows=ROWS, more=more).eval() for more in (ROWS, [replace(row, label=None) for row in ROWS]))
    assert (known.splits.unlabelled, blind.splits.unlabelled) == (frozenset(), {"test"})
    logits = [module.outputs(next(iter(module.test_dataloader()[0]))).logits for module in (known, blind)]
    torch.testing.assert_close(*logits)
    assert [name for name in blind.metrics if name == "test"] == []


def test_illegal_model_without_the_head(tmp_path: Path) -> None:
    model = Tiny(hidden_size=32, intermediate_size=32)
    model.tokenizer().save_pretrained(tmp_path)
    whole = model.build(AutoModelForMaskedLM)
    whole.save_pretrained(tmp_path)
    assert task(model=Pretrained(str(tmp_path))).network.untrained == []
    whole.bert.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no trained cls\.predictions.*, whose probabilities .* task=winogrande"):
        task(model=Pretrained(str(tmp_path)))


def test_the_tokens_of_the_option_are_not_shown() -> None:
    module = task()
    (batch,) = module.val_dataloader()[0]
    assert batch["input_ids"].shape == (7, batch["input_ids"].shape[1])
    assert (batch["input_ids"][batch["hidden"]] == module.tokenizer.mask_token_id).all()
    assert (batch["guess"][batch["hidden"]] != module.tokenizer.mask_token_id).all()
    assert torch.equal(batch["input_ids"][~batch["hidden"]], batch["guess"][~batch["hidden"]])


@pytest.mark.parametrize(
    ("logits", "label", "loss"),
    [
        ([-1.0, -3.0], 0, 1.0),  # far enough ahead
        ([-1.0, -1.2], 0, 1.0 + 5 * 0.2),
        ([-1.0, -3.0], 1, 3.0 + 5 * 2.4),
        ([-1.0, -1.0, -1.1], 0, 1.0 + 5 * (0.4 + 0.3)),
        ([-1.0, -3.0, float("-inf")], 1, 3.0 + 5 * 2.4),
    ],
)
def test_margin_by_hand(logits: list[float], label: int, loss: float) -> None:
    scores = torch.tensor([logits], requires_grad=True)
    result = task().criterion(scores, torch.tensor([label]))
    assert result.tolist() == pytest.approx([loss])
    result.sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_training_learns_the_right_options() -> None:
    module = task()
    batch = next(iter(module.train_dataloader()))
    optimizer = AdamW(module.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = module.loss(batch)
        loss.backward()
        optimizer.step()
    assert loss < 0.5
    assert torch.equal(module.predictions(module.outputs(batch).logits), batch["labels"])


def test_a_space_before_the_blank_goes_with_the_option() -> None:
    ids, blanks = with_blank(ROBERTA, [("ab ", "c", "'s d"), ("", "c", " d"), ("(", "c", ")")], 64)
    tokens = [ROBERTA.convert_ids_to_tokens(row) for row in ids]
    assert tokens[0] == ["<s>", "a", "b", "\u0120", "c", "'", "s", "\u0120", "d", "</s>"]
    assert [row[slice(*blank)] for row, blank in zip(tokens, blanks, strict=True)] == [["\u0120", "c"], ["c"], ["c"]]
    assert ids == ROBERTA(["ab c's d", "c d", "(c)"])["input_ids"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Cloze("a ", ("b", ""), " c", 0, "7"), "'a c' has nothing in its blank"),
        (Cloze("a " * 70, ("b", "c"), "", 0, "7"), r"'a a .* \.\.\.' is longer than max_length=64 tokens"),
        (Cloze("a ", ("b", "c"), "", 2, "7"), "question 7 has label 2; its 2 choices are numbered from 0"),
    ],
)
def test_illegal_rows(row: Cloze, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(rows=[row])


@pytest.mark.parametrize(("changes", "key"), [({"alpha": -1.0}, "alpha=-1.0"), ({"beta": -0.1}, "beta=-0.1")])
def test_illegal_margin(changes: dict[str, float], key: str) -> None:
    with pytest.raises(ValueError, match=rf"task.module.{key} must not be negative"):
        task(**changes)


def test_illegal_tokenizer_without_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tiny().tokenizer()
    tokenizer.mask_token = None
    monkeypatch.setattr(Tiny, "tokenizer", lambda self: tokenizer)
    with pytest.raises(ValueError, match=r"the tokenizer of model 'tiny' has no mask token"):
        task()


def test_the_margin_of_the_source() -> None:
    module = composed("experiment=smc_winogrande").task.module
    assert (module.alpha, module.beta) == (5.0, 0.4)

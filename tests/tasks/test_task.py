"""Tasks in Lightning: scores of choices, exact means, and runs that resume bit for bit."""

import random
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.nn import functional
from torch.optim import AdamW
from torchmetrics import Metric
from torchmetrics.classification import MulticlassMatthewsCorrCoef
from transformers import AutoModelForMultipleChoice, AutoModelForSequenceClassification, AutoTokenizer

from models.tiny import Tiny
from models.tuning import Full
from tasks.classification import Classification
from tasks.encoding import single_separator
from tasks.losses import Supervised
from tasks.multiple_choice import MultipleChoice
from tasks.optim import Optim, linear
from tasks.recipe import Recipe
from tasks.rows import Pair, Question
from tasks.task import Task

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
]
WORDS = ["ba", "ke", "to", "lu", "mi", "so"]


def questions(count: int, seed: int) -> list[Question]:
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        choices = tuple(draw.choices(WORDS, k=draw.choice([2, 3, 5])))
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 9)))
        rows.append(Question(text, choices, draw.randrange(len(choices)), f"{seed}-{index}"))
    return rows


def pairs(count: int, seed: int) -> list[Pair]:
    return [Pair(row.text, row.choices[0], index % 2, row.id) for index, row in enumerate(questions(count, seed))]


DATA = {"train": questions(37, 0), "val": questions(13, 1), "test": questions(5, 2)}
PAIRS = {"train": pairs(37, 0), "val": pairs(13, 1)}
LABELS = ["no", "yes"]
MODEL = Tiny(hidden_size=32, intermediate_size=32, dropout=0.1)
RECIPE = Recipe(
    optim=Optim(partial(AdamW, lr=1e-3, fused=True), partial(linear, warmup=0.1)),
    loss=Supervised(),
    tuning=Full(),
    batch_size=8,
    steps=lambda examples: 12,
    seed=0,
)
OF_RECIPE = {field.name for field in fields(Recipe)}


def made(kind: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """A task; what is of its recipe goes there."""
    of_recipe = {name: arguments.pop(name) for name in OF_RECIPE & arguments.keys()}
    if "steps" in of_recipe:
        of_recipe["steps"] = partial(lambda steps, examples: steps, of_recipe["steps"])
    recipe = replace(RECIPE, loss=Supervised(), **of_recipe)
    return kind(model=arguments.pop("model", MODEL), recipe=recipe, **arguments)


def multiple_choice(**changes: Any) -> MultipleChoice:
    torch.manual_seed(0)
    return made(MultipleChoice, {"data": DATA} | changes)


def classification(**changes: Any) -> Classification:
    torch.manual_seed(0)
    return made(Classification, {"data": PAIRS, "labels": LABELS} | changes)


def trainer(folder: Path, **changes: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    own = {"max_steps": 12, "max_epochs": 1, "accelerator": "cpu", "devices": 1, "default_root_dir": folder}
    return Trainer(**quiet | own | {"enable_checkpointing": False, "use_distributed_sampler": False} | changes)


def logits(task: Task, batch: Any) -> torch.Tensor:
    return task.outputs(batch).logits


def mean_loss(task: Task, loader: Any) -> tuple[float, float]:
    """Loss and accuracy over all rows, computed at once."""
    task.eval()
    with torch.no_grad():
        found = [row for batch in loader for row in logits(task, batch)]
    labels = torch.cat([batch["labels"] for batch in loader])
    losses = [functional.cross_entropy(row, label) for row, label in zip(found, labels, strict=True)]
    right = [int(row.argmax() == label) for row, label in zip(found, labels, strict=True)]
    return torch.stack(losses).mean().item(), sum(right) / len(right)


def test_each_choice_is_scored_by_a_forward_of_its_own() -> None:
    task = multiple_choice(question="Q: {}", choice="A: {}").eval()
    with torch.no_grad():
        seen = 0
        for indices, batch in zip(task.val_dataloader()[0].order, task.val_dataloader()[0], strict=True):
            for index, scores in zip(indices, logits(task, batch), strict=True):
                row = DATA["val"][index]
                seen += 1
                for choice, score in zip(row.choices, scores, strict=False):
                    inputs = task.tokenizer(f"Q: {row.text}", f"A: {choice}", return_tensors="pt")
                    alone = task.network(**{name: tensor.unsqueeze(1) for name, tensor in inputs.items()}).logits
                    assert score.item() == pytest.approx(alone.item(), abs=1e-5)
                assert scores[len(row.choices) :].eq(-torch.inf).all()
    assert seen == 13


def test_absent_choices_get_no_gradient() -> None:
    task = multiple_choice()
    task.loss(next(iter(task.train_dataloader()))).backward()
    gradients = [parameter.grad for parameter in task.network.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_classification_scores_are_those_of_the_pair() -> None:
    task = classification().eval()
    row = PAIRS["val"][task.val_dataloader()[0].order[0][0]]
    inputs = task.tokenizer(row.first, row.second, return_tensors="pt")
    with torch.no_grad():
        scores = logits(task, next(iter(task.val_dataloader()[0])))[0]
        assert scores.tolist() == pytest.approx(task.network(**inputs).logits[0].tolist(), abs=1e-5)


def test_classes_have_names_and_single_sentences_work() -> None:
    rows = [Pair("ba", None, 0, "a"), Pair("ke lu", None, 2, "b")]
    task = classification(data={"train": rows, "val": rows}, labels=["no", "yes", "perhaps"])
    assert task.network.config.id2label == {0: "no", 1: "yes", 2: "perhaps"}
    assert task.network.config.label2id["perhaps"] == 2
    batch = next(iter(task.val_dataloader()[0]))
    assert logits(task, batch).shape == (2, 3)
    assert batch["token_type_ids"].sum() == 0


@pytest.mark.parametrize("make", [multiple_choice, classification])
def test_validation_logs_exact_means(make: Callable[[], Task], tmp_path: Path) -> None:
    task = make()
    results = trainer(tmp_path).validate(task, verbose=False)[0]
    loss, accuracy = mean_loss(task, task.val_dataloader()[0])
    assert results == pytest.approx({"val/loss": loss, "val/accuracy": accuracy}, abs=1e-5)


def test_means_are_kept_by_metrics_that_ranks_can_join(monkeypatch: pytest.MonkeyPatch) -> None:
    task = multiple_choice().eval()
    logged: dict[str, Any] = {}
    monkeypatch.setattr(task, "log", lambda name, value, **_: logged.update({name: value}))
    for index, batch in enumerate(task.val_dataloader()[0]):
        task.validation_step(batch, index)
    loss, accuracy = mean_loss(task, task.val_dataloader()[0])
    assert all(isinstance(metric, Metric) for metric in logged.values())
    assert logged["val/accuracy"].compute().item() == pytest.approx(accuracy)
    assert logged["val/loss"].compute().item() == pytest.approx(loss)


def test_test_split_and_further_metrics(tmp_path: Path) -> None:
    assert set(trainer(tmp_path).test(multiple_choice(), verbose=False)[0]) == {"test/loss", "test/accuracy"}
    task = classification(metrics={"matthews": MulticlassMatthewsCorrCoef(num_classes=2)})
    assert set(trainer(tmp_path).validate(task, verbose=False)[0]) == {"val/loss", "val/accuracy", "val/matthews"}
    assert all(key.startswith("network.") for key in task.state_dict())


@pytest.mark.parametrize("make", [multiple_choice, classification])
def test_resumed_run_equals_the_uninterrupted_one(make: Callable[..., Task], tmp_path: Path) -> None:
    def checkpoint() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5, save_top_k=-1)

    whole = make(accumulate=2)
    scores = next(iter(whole.train_dataloader()))["labels"]  # as a callback does that scores weights before training
    run = trainer(tmp_path, accumulate_grad_batches=2, enable_checkpointing=True, callbacks=[checkpoint()])
    torch.manual_seed(5)
    run.fit(whole)
    assert run.global_step == 12
    assert len(scores) == 4
    part = make(accumulate=2)
    torch.manual_seed(5)
    first = {"max_steps": 5, "accumulate_grad_batches": 2, "enable_checkpointing": True}
    trainer(tmp_path / "part", **first, callbacks=[checkpoint()]).fit(part)
    state = torch.get_rng_state()
    rest = make(accumulate=2)
    run = trainer(tmp_path, accumulate_grad_batches=2, enable_checkpointing=True, callbacks=[checkpoint()])
    torch.set_rng_state(state)
    run.fit(rest, ckpt_path=tmp_path / "step=5.ckpt", weights_only=True)
    assert run.global_step == 12
    expected = whole.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in rest.state_dict().items())
    assert not torch.equal(expected["network.classifier.weight"], part.state_dict()["network.classifier.weight"])


def test_accumulation_does_not_change_the_gradient() -> None:
    def gradient(accumulate: int) -> torch.Tensor:
        task = multiple_choice(accumulate=accumulate).eval()
        batches = iter(task.train_dataloader())
        for _ in range(accumulate):
            (task.loss(next(batches)) / accumulate).backward()
        return task.network.bert.encoder.layer[0].output.dense.weight.grad

    torch.testing.assert_close(gradient(1), gradient(4), atol=1e-6, rtol=1e-4)


def test_max_length_and_encoding_reach_the_tokenizer() -> None:
    task = multiple_choice(max_length=9, encode=single_separator)
    assert max(batch["input_ids"].shape[-1] for batch in task.train_dataloader()) == 9
    # Tiny's position table has 64 places.
    long = [Question("ba " * 99, ("a", "b"), 0, "x")]
    task = multiple_choice(data={"train": long, "val": long}, max_length=512)
    assert next(iter(task.val_dataloader()[0]))["input_ids"].shape == (2, 1, 64)


def test_braces_in_texts_are_text() -> None:
    rows = [Question("{} {0}", ("{", "}"), 0, "x")]
    task = multiple_choice(data={"train": rows, "val": rows}, question="{Q}: {}")
    ids = next(iter(task.val_dataloader()[0]))["input_ids"]
    assert ids[0, 0].tolist() == task.tokenizer("{Q}: {} {0}", "{")["input_ids"]


@pytest.mark.parametrize(
    ("make", "auto_class"),
    [(multiple_choice, AutoModelForMultipleChoice), (classification, AutoModelForSequenceClassification)],
)
def test_saved_model_opens_anywhere(make: Callable[[], Task], auto_class: Any, tmp_path: Path) -> None:
    task = make().eval()
    task.save(tmp_path)
    network = auto_class.from_pretrained(tmp_path).eval()
    assert all(torch.equal(tensor, task.network.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert AutoTokenizer.from_pretrained(tmp_path)("ba", "ke") == task.tokenizer("ba", "ke")


@pytest.mark.parametrize("key", ["question", "choice"])
@pytest.mark.parametrize("template", ["Q:", "{} {}"])
def test_illegal_template(key: str, template: str) -> None:
    with pytest.raises(ValueError, match=rf"task.module.{key}=.* does not have \{{\}} exactly once"):
        multiple_choice(**{key: template})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": PAIRS | {"val": [Pair("a", "b", None, "r7")]}}, "the rows of the split 'val' have no labels"),
        ({"data": PAIRS | {"val": [Pair("a", "b", 2, "r7")]}}, "row r7 has label 2; the 2 classes"),
        (
            {"data": PAIRS | {"val": [Pair("a", "b", 0, "x"), Pair("a", None, 0, "y")]}},
            "only 1 of 2 rows have a second",
        ),
        ({"data": {"train": PAIRS["train"]}}, "no rows in the split 'val'"),
        ({"data": PAIRS | {"train": []}}, "no rows in the split 'train'"),
        ({"labels": ["one"]}, "fewer than two classes"),
        ({"labels": ["one", "one"]}, "names a class twice"),
        ({"labels": [1, "1"]}, "names a class twice"),
        ({"labels": "ab"}, "task.module.labels=ab is not a list"),
    ],
)
def test_illegal_classification(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification(**changes)


def test_illegal_question() -> None:
    with pytest.raises(ValueError, match="question q7 has label 2; its 2 choices"):
        multiple_choice(data=DATA | {"test": [Question("a", ("b", "c"), 2, "q7")]})


def test_illegal_tokenizer_of_another_model() -> None:
    class Mixed:
        name = "mixed"

        def tokenizer(self) -> Any:
            return Tiny().tokenizer()

        def build(self, auto_class: Any, **config: Any) -> Any:
            network = Tiny().build(auto_class, **config)
            network.resize_token_embeddings(50)
            return network

    with pytest.raises(ValueError, match="tokens but the network 50 embeddings"):
        multiple_choice(model=Mixed())

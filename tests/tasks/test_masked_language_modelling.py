"""Masked language modelling: exact perplexities, scores at masked places only, and runs that resume bit for bit."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch.nn import functional
from transformers import AutoModelForMaskedLM, RobertaConfig

from models.tiny import Tiny
from runs.settings import check
from tasks import little_world_texts, texts
from tasks.masked_language_modelling import MaskedLanguageModelling
from tests.conftest import of_method
from tests.methods.building import parts
from tests.tasks.test_task import made, trainer
from tests.tasks.test_texts import SHARED, shared
from tests.tasks.test_word_masking import ROBERTA

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
]
DATA = little_world_texts.texts(train=60, val=33, test=5)


class Roberta:
    """A small RoBERTa with random weights."""

    name = "roberta"

    def tokenizer(self) -> Any:
        return ROBERTA

    def build(self, auto_class: Any, **config: Any) -> Any:
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        vocabulary = {"vocab_size": len(ROBERTA), "pad_token_id": ROBERTA.pad_token_id, "max_position_embeddings": 82}
        return auto_class.from_config(RobertaConfig(**sizes, **vocabulary))


MODELS = {"bert": Tiny(hidden_size=32, intermediate_size=32, dropout=0.1), "roberta": Roberta()}


def task(**changes: Any) -> MaskedLanguageModelling:
    torch.manual_seed(0)
    given = {"data": DATA, "model": MODELS["bert"], "across_documents": False} | changes
    return made(MaskedLanguageModelling, given)


def by_hand(module: MaskedLanguageModelling, split: str = "val") -> tuple[float, int, int]:
    """Summed loss, masked tokens and right ones, one sequence at a time, from the scores of all places."""
    module.eval()
    loss, count, right = 0.0, 0, 0
    with torch.no_grad():
        for index in range(len(module.examples[split])):
            clean = module.loading.collate([module.examples[split][index]]) | {"index": torch.tensor([index])}
            was = clean["input_ids"].clone()
            noisy = module.loading.noise(clean, None)
            scores = module.network(input_ids=noisy["input_ids"], attention_mask=noisy["attention_mask"]).logits
            for place in noisy["masked"].nonzero().tolist():
                logits, label = scores[tuple(place)].double(), was[tuple(place)]
                loss += functional.cross_entropy(logits, label).item()
                right += int(logits.argmax() == label)
                count += 1
    return loss, count, right


@pytest.mark.parametrize("model", MODELS)
def test_perplexity_is_that_of_all_masked_tokens(model: str, tmp_path: Path) -> None:
    module = task(model=MODELS[model])
    assert len({len(batch["labels"]) for batch in module.val_dataloader()[0]}) > 1  # a mean of means would be off
    results = trainer(tmp_path).validate(module, verbose=False)[0]
    loss, count, right = by_hand(module)
    assert results["val/loss"] == pytest.approx(loss / count, rel=1e-5)
    assert results["val/perplexity"] == pytest.approx(math.exp(loss / count), rel=1e-5)
    assert results["val/accuracy"] == pytest.approx(right / count)
    assert "test/perplexity" in trainer(tmp_path).test(module, verbose=False)[0]


@pytest.mark.parametrize("model", MODELS)
def test_scores_are_those_of_the_masked_places(model: str) -> None:
    module = task(model=MODELS[model]).eval()
    batch = next(iter(module.train_dataloader()))
    outputs = module.outputs(batch, inside=True)
    whole = module.network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(outputs.logits, whole[batch["masked"]])
    assert outputs.logits.shape == (len(batch["labels"]), module.network.config.vocab_size)
    assert outputs.hidden[0].shape[:2] == outputs.real.shape
    assert module.size(batch) == (8, 8, batch["input_ids"].shape[1])


def test_masks_do_not_depend_on_micro_batches() -> None:
    def rows(accumulate: int) -> dict[int, list[int]]:
        found = {}
        for number, batch in enumerate(task(accumulate=accumulate).train_dataloader()):
            for index, ids, real in zip(batch["index"], batch["input_ids"], batch["attention_mask"], strict=True):
                found[number // accumulate, int(index)] = ids[real.bool()].tolist()
        return found

    assert rows(1) == rows(4)


def test_ranks_see_the_masks_that_one_process_sees() -> None:
    module = task()

    def rows(rank: int, ranks: int, split: str) -> dict[Any, list[int]]:
        loading = module.loading
        loader = loading.training(3, rank, ranks, 0) if split == "train" else loading.evaluation(split, rank, ranks)
        found = {}
        for step, batch in enumerate(loader):
            for index, ids, real in zip(batch["index"], batch["input_ids"], batch["attention_mask"], strict=True):
                found[step if split == "train" else None, int(index)] = ids[real.bool()].tolist()
        return found

    for split in ("train", "val"):
        one, other = rows(0, 2, split), rows(1, 2, split)
        assert one.keys() != other.keys()
        assert one | other == rows(0, 1, split)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_equals_the_uninterrupted_one(accumulate: int, small: Any, tmp_path: Path) -> None:
    class Stopped(BaseException):
        pass

    class Stop(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 7:
                raise Stopped

    def run(folder: str, *watchers: Callback, **options: Any) -> dict[str, torch.Tensor]:
        run = parts(small("task=little_world_mlm", f"trainer.accumulate_grad_batches={accumulate}"))
        run.fit(tmp_path / folder, *watchers, checkpoint_every=0, **options)
        return run.weights

    whole = run("whole")
    with pytest.raises(Stopped):
        run("part", Stop())
    rest = run("part", resume=tmp_path / "part" / "checkpoints" / "last.ckpt")
    assert all(torch.equal(tensor, whole[name]) for name, tensor in rest.items())


@pytest.mark.parametrize("model", MODELS)
def test_flow_reaches_every_encoder_weight(model: str) -> None:
    module = task(model=MODELS[model])
    weights = {n: w.detach().double().requires_grad_() for n, w in module.network.named_parameters() if "layer.0" in n}
    weights = {name: weight for name, weight in weights.items() if weight.dim() == 2}
    module.flow(weights).backward()
    assert all(weight.grad is not None and (weight.grad != 0).all() for weight in weights.values())


def test_the_best_checkpoint_has_the_lowest_perplexity(small: Any, tmp_path: Path) -> None:
    run = parts(small("task=little_world_mlm", "lr=0.01"))
    run.fit(tmp_path)
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    curve = {int(step) + 1: float(value) for step, name, value in rows if name == "val/perplexity"}
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert len(curve) > 3
    assert best["global_step"] == min(curve, key=lambda step: curve[step])


@pytest.mark.parametrize("method", ["synflow", "rigl", "learned_mask"])
def test_sparse_methods_with_tied_embeddings_in_scope(method: str, small: Any, tmp_path: Path) -> None:
    more = ["scope=encoder_and_embeddings", "optim=adamw_onecycle"]
    run = parts(small("task=little_world_mlm", *of_method(method), *more))
    numbers = run.fit(tmp_path)
    (table,) = (name for name in run.sparsifier.masks if "encoder" not in name)
    network, ledger = run.module.network, run.sparsifier.ledger(run.module)
    assert network.get_output_embeddings().weight is dict(network.named_parameters())[table]
    assert ledger["model"]["numel"] == sum(weight.numel() for weight in network.parameters())
    zeros = sum(int((mask == 0).sum()) for mask in run.sparsifier.masks.values())
    assert ledger["model"]["kept"] == ledger["model"]["numel"] - zeros
    assert not network.get_output_embeddings().weight[~run.sparsifier.masks[table]].any()
    assert 0 < numbers["flops"]["inference"] < numbers["flops"]["dense_inference"]


def test_rigl_across_embeddings_keeps_its_total(small: Any, tmp_path: Path) -> None:
    more = ["compat=numenta", "method.sparsifier.schedule.every=2", "steps=60"]
    run = parts(small("task=little_world_mlm", "method=rigl_global", "sparsity=0.8", *more))
    totals, tables = [], []

    def remember(masks: Any, before: Any = run.sparsifier._set) -> None:
        before(masks)
        totals.append(run.sparsifier._kept)
        tables.append(int(masks["bert.embeddings.word_embeddings.weight"].sum()))

    run.sparsifier._set = remember
    run.fit(tmp_path)
    assert len(totals) > 25
    assert len(set(totals)) == 1
    assert len(set(tables)) > 1


def test_an_epoch_is_counted_in_sequences(small: Any) -> None:
    config = small("task=little_world_mlm", "epochs=2", "steps=null", "task.module.max_length=8")
    check(config)
    module = parts(config).module
    sequences = len(module.examples["train"])
    assert sequences > len(module.data["train"])
    assert module.steps == math.ceil(2 * sequences / 8)
    assert sum(len(batch["index"]) for batch in module.train_dataloader()) == 8 * module.steps


def test_illegal_tokenizer_without_a_mask() -> None:
    class Unmasked:
        name = "unmasked"
        build = MODELS["bert"].build

        def tokenizer(self) -> Any:
            tokenizer = Tiny().tokenizer()
            tokenizer.mask_token = None
            return tokenizer

    with pytest.raises(ValueError, match="model 'unmasked' has no mask token"):
        task(model=Unmasked())


def test_the_saved_model_is_a_masked_language_model(tmp_path: Path) -> None:
    module = task()
    module.save(tmp_path)
    network = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight
    assert all(torch.equal(tensor, module.network.state_dict()[name]) for name, tensor in network.state_dict().items())


@shared
@pytest.mark.shared
@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("folder", ["wikitext-2", "books"])
def test_perplexity_of_real_texts(folder: str, across: bool, tmp_path: Path) -> None:
    names = {"train": "test.txt", "val": "valid.txt"} if folder == "wikitext-2" else {"train": "valid.txt"}
    data = {split: rows[:1] for split, rows in texts.read(str(SHARED / folder), names=names).items()}
    data = {split: [type(row)(row.text[:40000], row.id) for row in rows] for split, rows in data.items()}
    module = task(data=data, across_documents=across)
    results = trainer(tmp_path).validate(module, verbose=False)[0]
    loss, count, _ = by_hand(module)
    assert count > 500
    assert results["val/perplexity"] == pytest.approx(math.exp(loss / count), rel=1e-5)

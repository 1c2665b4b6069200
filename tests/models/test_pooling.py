"""PETL's head on both families: what it computes, by hand, and that it is saved and comes back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from models.blocks import head
from models.pooling import Pooling
from models.pretrained import Pretrained
from tests.models.test_pretrained import bert, roberta  # noqa: F401

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 1, 1]])
REAL = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
CLASSIFICATION = AutoModelForSequenceClassification


@pytest.fixture(params=["bert", "roberta"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def built(folder: Path, pooling: Pooling | None, auto_class: Any = CLASSIFICATION) -> PreTrainedModel:
    torch.manual_seed(0)
    return Pretrained(str(folder), head_dropout=0.3, pooling=pooling).build(auto_class)


def by_hand(network: PreTrainedModel, mean: bool) -> Tensor:
    states = network.base_model(IDS, attention_mask=REAL).last_hidden_state
    state = torch.stack([states[0].mean(0), states[1, :2].mean(0)]) if mean else states[:, 0]
    dense, out = (tensors for _, tensors in sorted(_layers(network).items()))
    return torch.tanh(state @ dense[0].T + dense[1]) @ out[0].T + out[1]


def _layers(network: PreTrainedModel) -> dict[str, list[Tensor]]:
    """Weight and bias of the dense layer, first, and of the output."""
    tensors = {name: weight for name, weight in head(network)}
    dense = [tensors[name] for name in tensors if ".dense." in name]
    return {"dense": dense, "out": [tensors[name] for name in tensors if ".dense." not in name]}


@pytest.mark.parametrize("mean", [False, True])
def test_the_head_by_hand(folder: Path, mean: bool) -> None:
    network = built(folder, Pooling(mean)).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(IDS, attention_mask=REAL).logits, by_hand(network, mean))
        alone = network(IDS[1:, :2]).logits  # no mask, no padding
        torch.testing.assert_close(network(IDS, attention_mask=REAL).logits[1:], alone)


@pytest.mark.parametrize("mean", [False, True])
def test_multiple_choice_pools_each_choice(folder: Path, mean: bool) -> None:
    network = built(folder, Pooling(mean), AutoModelForMultipleChoice).eval()
    with torch.no_grad():
        logits = network(IDS[:, None], attention_mask=REAL[:, None]).logits
        torch.testing.assert_close(logits, by_hand(network, mean))


def test_the_dense_layer_of_bert_is_new_and_drops(folder: Path) -> None:
    network, usual = built(folder, Pooling(mean=False)), built(folder, None)
    weight, bias = _layers(network)["dense"]
    assert "dense" in " ".join(network.untrained)
    assert not bias.any()
    assert float(weight.detach().std()) == pytest.approx(network.config.initializer_range, rel=0.1)
    if network.config.model_type == "bert":
        assert not torch.equal(weight, _layers(usual)["dense"][0])
        assert "pooler" not in " ".join(usual.untrained)
    seen: list[Tensor] = []
    names = {name for name, _ in network.named_modules() if name.endswith(("pooler.dense", "classifier.dense"))}
    dense = network.get_submodule(names.pop())
    dense.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for training in (True, False):
        network.train(training)(IDS, attention_mask=REAL)
    zeros = [int((each == 0).sum()) for each in seen]
    assert zeros[0] > 0 == zeros[1]


@pytest.mark.parametrize("mean", [False, True])
def test_it_is_saved_and_comes_back(folder: Path, tmp_path: Path, mean: bool) -> None:
    model = Pretrained(str(folder), pooling=Pooling(mean))
    network = model.build(CLASSIFICATION).eval()
    network.save_pretrained(tmp_path)
    model.tokenizer().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["additions"] == [{"kind": "pooling", "mean": mean}]
    for again in (Pretrained(str(tmp_path)).complete(CLASSIFICATION), Pretrained(str(tmp_path)).build(CLASSIFICATION)):
        assert torch.equal(again.eval()(IDS, attention_mask=REAL).logits, network(IDS, attention_mask=REAL).logits)
    _, report = CLASSIFICATION.from_pretrained(tmp_path, output_loading_info=True)
    assert {name.rpartition(".pooled")[1] for name in report["unexpected_keys"]} == {".pooled"}
    with pytest.raises(ValueError, match=r"the network has .*pooled already"):
        Pretrained(str(tmp_path), pooling=Pooling(mean)).build(CLASSIFICATION)


def test_illegal_head(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.pooling needs a head that sees one state of a sequence"):
        built(folder, Pooling(mean=True), AutoModelForMaskedLM)

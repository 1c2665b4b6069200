"""Which tensors are in scope."""

import re

import pytest
import torch
from torch import nn

from sparsity.scope import Scope


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(5, 4)
        self.encoder = nn.ModuleList([nn.Linear(4, 4), nn.LayerNorm(4), nn.Conv1d(4, 4, 3)])
        self.decoder = nn.Linear(4, 5)
        self.decoder.weight = self.embeddings.weight
        self.head = nn.Linear(4, 2)


def names(include: list[str], exclude: list[str] | None = None) -> list[str]:
    return list(Scope(include, exclude or []).select(Network()))


def test_select_by_hand() -> None:
    everything = ["embeddings.weight", "encoder.0.weight", "encoder.2.weight", "head.weight"]
    assert names(["."]) == everything  # tied weights once, no bias, no LayerNorm, in the order of the model
    assert names([r"head", r"^encoder\."]) == everything[1:2] + everything[2:]
    assert names(["."], [r"^head", "embed"]) == everything[1:3]
    assert names(["."], ["matches nothing"]) == everything


def test_selects_the_parameters_themselves_also_frozen_ones() -> None:
    network = Network()
    network.head.requires_grad_(False)
    assert Scope(["head"]).select(network)["head.weight"] is network.head.weight


def test_is_a_value() -> None:
    assert Scope(["a"], ["b"]) == Scope(("a",), ("b",))
    assert hash(Scope(["a"])) == hash(Scope(("a",), ()))


@pytest.mark.parametrize("field", ["include", "exclude"])
def test_illegal_regex(field: str) -> None:
    patterns = {"include": ["."]} | {field: ["fine", "(open"]}
    with pytest.raises(ValueError, match=rf"scope\.{field} has an invalid regular expression '\(open'"):
        Scope(**patterns)


def test_illegal_pattern_without_a_match() -> None:
    with pytest.raises(ValueError, match=r"'encodr\\\.0' matches no parameter .* nearest parameter is encoder\.0\."):
        names([".", r"encodr\.0"])


def test_illegal_empty_selection() -> None:
    for include, exclude in ((["bias"], []), (["head"], ["head"])):
        with pytest.raises(ValueError, match="no weight tensor is in scope") as error:
            names(include, exclude)
        assert str(include) in str(error.value)
        assert str(exclude) in str(error.value)
        assert re.search(r"nearest parameter is \S+weight$", str(error.value))


def test_illegal_model_without_weights() -> None:
    with pytest.raises(ValueError, match="the model has no weight tensor"):
        Scope(["."]).select(nn.ParameterDict({"bias": nn.Parameter(torch.zeros(3))}))


def test_illegal_empty_include() -> None:
    with pytest.raises(ValueError, match=r"scope\.include is empty"):
        Scope([])


@pytest.mark.parametrize("field", ["include", "exclude"])
def test_illegal_string(field: str) -> None:
    with pytest.raises(ValueError, match=rf"scope\.{field} must be a list"):
        Scope(**({"include": ["."]} | {field: "weight"}))

"""Signatures read from source code agree with those of the imported classes."""

import inspect

import pytest
from hydra.utils import get_object

from runs.calls import OURS, check_calls
from runs.calls import _signatures as signatures
from runs.settings import check
from tests.conftest import METHODS, ROOT, composed


def targets(node):
    """Every `_target_` of ours below a node."""
    if isinstance(node, dict):
        if node.get("_target_", "").split(".")[0] in OURS:
            yield node["_target_"]
        for child in node.values():
            yield from targets(child)


def all_targets():
    from omegaconf import OmegaConf

    configs = [composed(f"method={method}") for method in METHODS]
    configs += [composed(f"task={path.stem}") for path in (ROOT / "conf" / "task").glob("*.yaml")]
    return sorted({target for config in configs for target in targets(OmegaConf.to_container(config, resolve=False))})


@pytest.mark.parametrize("target", all_targets())
def test_source_and_import_agree(target):
    called = get_object(target)
    read = signatures(inspect.getfile(called) and ROOT / (target.rpartition(".")[0].replace(".", "/") + ".py"))
    signature = read[target.rpartition(".")[2]]
    if signature is not None:
        parameters = inspect.signature(called).parameters
        assert {name: a.required for name, a in signature.arguments.items()} == {
            name: p.default is p.empty for name, p in parameters.items()
        }


def test_calls_inside_lists_are_checked():
    with pytest.raises(ValueError, match=r"unknown key 'x\[0\]\.powr'; did you mean 'power'\?"):
        check_calls({"x": [{"_target_": "sparsity.distributions.Erk", "powr": 2}]})


def test_calls_of_libraries_are_left_to_the_libraries():
    check_calls({"x": {"_target_": "lightning.pytorch.Trainer", "anything": 1}})


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("method.sparsifier.schedule.every=abc", "method.sparsifier.schedule.every=abc must be a whole number"),
        ("method.sparsifier.schedule.every=1.5", "method.sparsifier.schedule.every=1.5 must be a whole number"),
        ("method.sparsifier.schedule.every=true", "method.sparsifier.schedule.every=True must be a whole number"),
        ("method.sparsifier.drop_fraction=[1]", r"method.sparsifier.drop_fraction=\[1\] must be a number"),
        ("method.sparsifier.drop=magnitude", "method.sparsifier.drop=magnitude must be a constructor call"),
        ("~method.sparsifier.drop_fraction", "'method.sparsifier.drop_fraction' is missing"),
        ("~method.sparsifier.schedule.every", "'method.sparsifier.schedule.every' is missing"),
        ("scope.include=weight", "scope.include=weight must be a list"),
        ("model.heads=null", "model.heads=None must be a whole number"),
        ("task.module.max_length=abc", "task.module.max_length=abc must be a whole number"),
    ],
)
def test_illegal_arguments(override, sentence):
    with pytest.raises(ValueError, match=sentence):
        check(composed("method=rigl", "sparsity=0.5", override))


def test_a_ticket_is_given_by_the_program():
    check(composed("method=lth", "sparsity=0.5"))

"""Two gloo ranks, each with its own half of every batch, agree with each other, with one process, and when resumed."""

import pytest
import torch

from tests.conftest import METHODS, SMALL, composed, of_method
from tests.methods.building import parts, takes_ticket
from tests.methods.rank import two_ranks

RESUMED = ["gmp", "rigl", "soft_movement", "top_kast"]

pytestmark = pytest.mark.xdist_group("ranks")  # the ranks are started once


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder where both ranks left their weights and masks."""
    folder = tmp_path_factory.mktemp("ranks")
    parts(composed(*SMALL)).fit(folder / "dense")
    two_ranks(folder, *(f"whole:{method}" for method in METHODS), *(f"broken:{method}" for method in RESUMED))
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_ranks_agree(ended, method):
    one, other = (torch.load(ended / "whole" / method / f"{rank}.pt", weights_only=True) for rank in "01")
    for kind in ("weights", "masks"):
        assert one[kind].keys() == other[kind].keys()
        assert all(torch.equal(one[kind][name], other[kind][name]) for name in one[kind])
    for name, mask in one["masks"].items():
        assert not one["weights"][name][~mask].any()


@pytest.mark.parametrize("method", METHODS)
def test_two_ranks_are_one_process_up_to_rounding(ended, tmp_path, method):
    two = torch.load(ended / "whole" / method / "0.pt", weights_only=True)
    config = composed(*SMALL, *of_method(method))
    run = parts(config, ticket=ended / "dense" / "checkpoints" / "last.ckpt" if takes_ticket(config) else None)
    run.fit(tmp_path)
    numel = sum(mask.numel() for mask in two["masks"].values())
    moved = sum(int((mask != two["masks"][name]).sum()) for name, mask in run.sparsifier.masks.items())
    assert moved <= 0.002 * numel
    for name, weight in run.weights.items():
        if name == "classifier.bias":
            continue  # shifts every choice alike, so that its gradient is nothing but rounding, which Adam scales up
        same = run.sparsifier.masks[name] & two["masks"][name] if name in two["masks"] else torch.ones_like(weight) > 0
        torch.testing.assert_close(weight[same], two["weights"][name][same], rtol=0, atol=2e-3)


@pytest.fixture(scope="module")
def mended(ended):
    """The folder where new ranks left what stopped trainings came to."""
    for method in RESUMED:
        state = torch.load(ended / "resumed" / method / "checkpoints" / "last.ckpt", weights_only=True)
        assert state["global_step"] == 7
    two_ranks(ended, *(f"mended:{method}" for method in RESUMED))
    return ended


@pytest.mark.parametrize("method", RESUMED)
@pytest.mark.parametrize("rank", [0, 1])
def test_resumed_ranks_end_as_if_nothing_had_happened(mended, method, rank):
    whole, resumed = (
        torch.load(mended / kind / method / f"{rank}.pt", weights_only=True) for kind in ("whole", "resumed")
    )
    for kind in ("weights", "masks"):
        assert whole[kind].keys() == resumed[kind].keys()
        for name, tensor in whole[kind].items():
            assert torch.equal(tensor, resumed[kind][name]), name

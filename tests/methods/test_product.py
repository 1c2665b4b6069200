"""Every method with every distribution and pattern trains, is resumed, and is the same on two ranks; or it is refused.

What is refused is a table of this test: exchanging units one for one needs units of a tensor's own.
"""

from itertools import product

import pytest
import torch
from hydra.errors import InstantiationException

from tests.conftest import METHODS, SMALL, composed, of_method
from tests.methods.building import parts, takes_ticket
from tests.methods.rank import two_ranks

# So many examples to validate on, that this is done once.
SMALLER = ["sparsity=0.5", "steps=5", "model.layers=1", "task.data.train=304", "task.data.val=40", "task.data.test=8"]
SPARSE = [method for method in METHODS if method != "dense"]
GRIDS = [*product(["global", "uniform", "erk"], ["unstructured", "n_m"]), ("uniform", "block")]

EXCHANGING = ["dsr", "magnitude_rigl", "mest", "random_rigl", "rigl", "rigl_global", "set", "snfs", "snip_rigl"]
REFUSED = {(method, "n_m") for method in EXCHANGING}
SENTENCE = (
    "pattern=n_m cannot be exchanged unit by unit within a tensor, as RigL and SET do; use pattern=block or"
    " pattern=unstructured"
)
TRAINED = [(m, d, p) for m, (d, p) in product(SPARSE, GRIDS) if (m, p) not in REFUSED]
ON_RANKS = [(m, d, p) for m, d, p in TRAINED if p != "block"]


def overrides(method, distribution, pattern):
    """What is beside `SMALL` and the method's own overrides: five steps of a network of one layer."""
    updates = ["method.sparsifier.schedule.every=1"] if any("schedule.every" in o for o in of_method(method)) else []
    return [*SMALLER, *updates, f"distribution={distribution}", f"pattern={pattern}"]


def consists_of(pattern, mask):
    """Whether a mask of half a tensor is made of the units of a pattern."""
    if pattern == "n_m":
        return bool(mask.reshape(-1, 4).sum(1).eq(2).all())
    if pattern == "block":
        blocks = mask.reshape(mask.shape[0] // 4, 4, -1, 4)
        return torch.equal(blocks.any(3).any(1), blocks.all(3).all(1))
    return True


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """The folder of a trained dense run, for methods whose mask comes from another one."""
    folder = tmp_path_factory.mktemp("product")
    parts(composed(*SMALL, *SMALLER, "sparsity=0", "steps=1")).fit(folder / "dense")
    return folder


@pytest.mark.parametrize(("method", "distribution", "pattern"), TRAINED)
def test_a_few_steps_resumed(small, tmp_path, dense, method, distribution, pattern):
    config = small(*of_method(method), *overrides(method, distribution, pattern))
    ticket = dense / "dense" / "checkpoints" / "last.ckpt" if takes_ticket(config) else None
    parts(config, ticket).fit(tmp_path, stop_step=3)
    run = parts(config, ticket)
    numbers = run.fit(tmp_path, resume=tmp_path / "checkpoints" / "last.ckpt")
    assert run.sparsifier.settled
    assert abs(numbers["sparsity"]["scope"] - 0.5) < 0.01
    for name, mask in run.sparsifier.masks.items():
        assert not run.weights[name][~mask].any()
        assert consists_of(pattern, mask)


@pytest.mark.parametrize(("method", "pattern"), sorted(REFUSED))
@pytest.mark.parametrize("distribution", ["global", "uniform", "erk"])
def test_refused_before_training(small, method, distribution, pattern):
    with pytest.raises(InstantiationException) as refusal:
        parts(small(*of_method(method), *overrides(method, distribution, pattern)))
    assert SENTENCE in str(refusal.value)


@pytest.fixture(scope="module")
def whole(dense):
    """The folder where both ranks left the weights and masks of everything that trains."""
    two_ranks(dense, *(f"whole:{','.join([row[0], *overrides(*row)])}" for row in ON_RANKS))
    return dense / "whole"


@pytest.mark.xdist_group("ranks")  # which are started once, and not beside those of test_ranks.py
@pytest.mark.parametrize(("method", "distribution", "pattern"), ON_RANKS)
def test_ranks_agree(whole, method, distribution, pattern):
    place = whole / ",".join([method, *overrides(method, distribution, pattern)])
    one, other = (torch.load(place / f"{rank}.pt", weights_only=True) for rank in "01")
    assert one["masks"]
    for kind in ("weights", "masks"):
        assert one[kind].keys() == other[kind].keys()
        assert all(torch.equal(one[kind][name], other[kind][name]) for name in one[kind])
    kept, numel = (sum(count(mask) for mask in one["masks"].values()) for count in (torch.sum, torch.numel))
    assert abs(int(kept) / numel - 0.5) < 0.01
    assert all(consists_of(pattern, mask) for mask in one["masks"].values())

"""Every method with every distribution and pattern trains, or is refused by name before it does."""

from itertools import product

import pytest
import torch
from hydra.errors import InstantiationException

from tests.conftest import METHODS, SMALL, composed, of_method
from tests.methods.building import parts, takes_ticket

SMALLER = ["steps=5", "model.layers=1", "task.data.val=8", "task.data.test=8"]
SPARSE = [method for method in METHODS if method != "dense"]


@pytest.fixture(scope="module")
def ticket(tmp_path_factory):
    """A trained dense run, for methods whose mask comes from another one."""
    folder = tmp_path_factory.mktemp("dense")
    parts(composed(*SMALL, "steps=1")).fit(folder)
    return folder / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize(
    ("distribution", "pattern"),
    [*product(["global", "uniform", "erk"], ["unstructured", "n_m"]), ("uniform", "block")],
)
@pytest.mark.parametrize("method", SPARSE)
def test_a_few_steps_resumed(small, tmp_path, ticket, method, distribution, pattern):
    overrides = [*of_method(method, 0.5), f"distribution={distribution}", f"pattern={pattern}", *SMALLER]
    overrides = [o.replace("schedule.every=2", "schedule.every=1") for o in overrides]
    config = small(*overrides)
    run = refused = None
    try:
        run = parts(config, ticket=ticket if takes_ticket(config) else None)
    except InstantiationException as error:
        refused = str(error)
    if run is None:
        assert f"pattern={pattern} cannot" in refused
        return
    run.fit(tmp_path, stop_step=3)
    run = parts(config, ticket=ticket if takes_ticket(config) else None)
    numbers = run.fit(tmp_path, resume=tmp_path / "checkpoints" / "last.ckpt")
    assert run.sparsifier.settled
    assert abs(numbers["sparsity"]["scope"] - 0.5) < 0.01
    for name, mask in run.sparsifier.masks.items():
        assert not run.weights[name][~mask].any()
        if pattern == "n_m":
            assert mask.reshape(-1, 4).sum(1).eq(2).all()
        if pattern == "block":
            blocks = mask.reshape(mask.shape[0] // 4, 4, -1, 4)
            assert torch.equal(blocks.any(3).any(1), blocks.all(3).all(1))

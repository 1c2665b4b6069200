"""Two gloo ranks, each with its own half of every batch, agree with each other and with one process."""

import socket
import subprocess
import sys

import pytest
import torch

from tests.conftest import METHODS, ROOT, SMALL, composed, of_method
from tests.methods.building import parts


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder where both ranks left their weights and masks."""
    folder = tmp_path_factory.mktemp("ranks")
    parts(composed(*SMALL)).fit(folder / "dense")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "tests.methods.rank"]
    ranks = [
        subprocess.Popen(
            [*command, rank, port, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for rank in "01"
    ]
    outputs = [rank.communicate(timeout=300)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_ranks_agree(ended, method):
    one, other = (torch.load(ended / f"{method}.{rank}.pt", weights_only=True) for rank in "01")
    for kind in ("weights", "masks"):
        assert one[kind].keys() == other[kind].keys()
        assert all(torch.equal(one[kind][name], other[kind][name]) for name in one[kind])
    for name, mask in one["masks"].items():
        assert not one["weights"][name][~mask].any()


@pytest.mark.parametrize("method", METHODS)
def test_two_ranks_are_one_process_up_to_rounding(ended, tmp_path, method):
    two = torch.load(ended / f"{method}.0.pt", weights_only=True)
    ticket = ended / "dense" / "checkpoints" / "last.ckpt" if method == "lth" else None
    run = parts(composed(*SMALL, *of_method(method)), ticket=ticket)
    run.fit(tmp_path)
    numel = sum(mask.numel() for mask in two["masks"].values())
    moved = sum(int((mask != two["masks"][name]).sum()) for name, mask in run.sparsifier.masks.items())
    assert moved <= 0.002 * numel
    for name, weight in run.weights.items():
        same = run.sparsifier.masks[name] & two["masks"][name] if name in two["masks"] else torch.ones_like(weight) > 0
        torch.testing.assert_close(weight[same], two["weights"][name][same], rtol=0, atol=2e-3)

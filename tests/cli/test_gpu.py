"""The program on a GPU, in bfloat16."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.cli.program import results, signalled, train, watched
from tests.conftest import SMALL, of_method


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", ["gmp", "rigl"])
def test_a_killed_training_resumes_and_ends_at_its_sparsity(tmp_path, method):
    arguments = [*SMALL[:-1], *of_method(method), "trainer=gpu", "model.dropout=0.1", "checkpoint_every=0"]
    kill = signalled(tmp_path / "kill", "SIGKILL", step=7)
    assert train(*arguments, folder=tmp_path / "outputs", check=False, environment=kill).returncode == -9
    (checkpoint,) = (tmp_path / "outputs").glob("*/checkpoints/last.ckpt")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    assert state["global_step"] == 7
    assert all(weight.dtype == torch.float32 for weight in state["state_dict"].values() if weight.is_floating_point())
    resumed = train(*arguments, folder=tmp_path / "outputs", environment=watched(tmp_path / "watch"))
    assert "begins at 7" in resumed.stdout

    folder = checkpoint.parent.parent
    result, ledger = results(tmp_path / "outputs")[folder.name], json.loads((folder / "ledger.json").read_text())
    assert (result["status"], result["steps"], result["sparsity"]["target"]) == ("completed", 12, 0.6)
    numel, kept = ledger["scope"]["numel"], ledger["scope"]["kept"]
    assert abs(kept - 0.4 * numel) <= 1
    assert result["sparsity"]["scope"] == 1 - kept / numel
    weights = load_file(folder / "model" / "model.safetensors")
    for row in ledger["tensors"]:
        assert int(weights[row["name"]].count_nonzero()) <= row["kept"]
    # A newborn weight starts at zero, so that some of the kept ones may be zero too; most are not.
    assert sum(int(weights[row["name"]].count_nonzero()) for row in ledger["tensors"]) > 0.9 * kept

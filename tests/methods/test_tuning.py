"""What every tuning of conf/tuning/ keeps in training, alone and together with sparsity."""

import json
import re
import shutil

import pytest
import torch
from transformers import AutoModelForMultipleChoice

import train
from tests.conftest import ROOT, SMALL, composed, of_method
from tests.methods.building import parts

TUNINGS = sorted(path.stem for path in (ROOT / "conf" / "tuning").glob("*.yaml"))
FITTING = {  # what has to be said of a network of two layers
    "layer": ["tuning.layers=[1]"],
    "adapter_and_lora": ["tuning.tunings.0.layers=[0]", "tuning.tunings.1.layers=[1]"],
}
MERGED = ("lora", "ia3", "sparse_delta")
ADDED = {
    "lora": r"\.lora_[AB]\.default\.weight$",
    "ia3": r"\.ia3_l\.default$",
    "prefix": r"\.prefix\.(keys|values)$",
    "sparse_delta": r"\.delta$",
    "adapter": r"\.layer\.\d\.output\.adapter\.(down|up|norm)\.(weight|bias)$",
    "parallel_adapter": r"\.layer\.\d\.output\.adapter\.(down|up|norm)\.(weight|bias)$",
    "attention_adapter": r"\.attention\.output\.adapter\.(down|up|norm)\.(weight|bias)$",
    "adapter_and_lora": r"\.layer\.0\.output\.adapter\.(down|up|norm)\.(weight|bias)$"
    r"|\.layer\.1\.attention\.self\.(query|key)\.lora_[AB]\.default\.weight$",
    "bitfit": r"\.layer\.\d\..*\.bias$",
    "layer": r"\.layer\.1\.",
    "ffn": r"\.layer\.\d\.(intermediate|output)\.",
    "full": "",
    "head": "^$",
}
HEAD = r"^(classifier|bert\.pooler\.dense)\."


def on(run, *overrides):
    """The config of a run on the model that another one has left."""
    same = [override for override in SMALL if not override.startswith("model.")]
    return composed("model=pretrained", f"model.name={run.model}", f"root={run.folder.parent}", *same, *overrides)


def of_tuning(tuning: str) -> list[str]:
    return [f"tuning={tuning}", *FITTING.get(tuning, [])]


@pytest.mark.parametrize("tuning", TUNINGS)
def test_what_is_frozen_stays_and_what_is_trained_moves(small, tmp_path, tuning):
    run = parts(small(*of_tuning(tuning)))
    initial = run.weights
    numbers = run.fit(tmp_path)
    moved = {name for name, weight in run.weights.items() if not torch.equal(weight, initial[name])}
    expected = {name for name in initial if re.search(f"{ADDED[tuning]}|{HEAD}", name)}
    idle = {name for name in expected if re.search(r"key\.bias$", name)}  # softmax does not see it
    assert expected - idle <= moved <= expected
    assert {name for name, weight in run.module.network.named_parameters() if weight.requires_grad} == expected
    head = 16 * 16 + 16 + 16 + 1
    total = sum(initial[name].numel() for name in expected)
    everything = sum(weight.numel() for weight in initial.values())
    assert numbers["trainable"] == {"all": total, "head": head, "without_head": total - head, "of": everything}


@pytest.mark.parametrize("tuning", ["adapter_and_lora", "bitfit", "ia3", "parallel_adapter", "prefix", "sparse_delta"])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(small, tmp_path, tuning):
    config = small(*of_tuning(tuning), "model.dropout=0.1")
    whole = parts(config)
    expected = whole.fit(tmp_path / "whole")
    parts(config).fit(tmp_path / "broken", stop_step=5)
    resumed = parts(config)
    got = resumed.fit(tmp_path / "broken", resume=tmp_path / "broken" / "checkpoints" / "last.ckpt")
    assert got["metrics"] == expected["metrics"]
    assert all(torch.equal(weight, resumed.weights[name]) for name, weight in whole.weights.items())


@pytest.mark.parametrize("tuning", ["adapter_and_lora", "ia3", "prefix"])
def test_the_saved_model_has_the_runs_own_metrics(small, tmp_path, tuning):
    run = train.obtain(small(*of_tuning(tuning), "lr=0.01"))
    again = train.obtain(on(run, "steps=0"))
    assert again.result["metrics"] == pytest.approx(run.result["metrics"], rel=1e-6)
    plain = AutoModelForMultipleChoice.from_pretrained(run.model)
    plain.config.additions = []
    shutil.copytree(run.model, tmp_path / "plain")
    plain.save_pretrained(tmp_path / "plain")  # as one who does not know of additions has it
    without = train.obtain(on(run, "steps=0", f"model.name={tmp_path / 'plain'}"))
    same = without.result["metrics"] == again.result["metrics"]
    assert same == ("adapter" not in tuning and tuning != "prefix")


@pytest.mark.parametrize(
    ("tuning", "method"), [("lora", "gmp"), ("ia3", "gmp"), ("sparse_delta", "gmp"), ("lora", "magnitude_after")]
)
def test_pruning_a_frozen_base_while_it_is_tuned(small, tuning, method):
    run = train.obtain(small(*of_tuning(tuning), "scope=encoder", *of_method(method, 0.36)))
    result, ledger = run.result, json.loads((run.folder / "ledger.json").read_text())
    assert result["sparsity"]["scope"] == pytest.approx(0.36, abs=1e-3)
    network = dict(AutoModelForMultipleChoice.from_pretrained(run.model).named_parameters())
    assert len(ledger["tensors"]) == 12
    for line in ledger["tensors"]:
        assert int(network[line["name"]].count_nonzero()) == line["kept"]
    assert result["trainable"]["without_head"] == sum(
        weight.numel()
        for name, weight in torch.load(run.checkpoint, weights_only=True)["state_dict"].items()
        if re.search(ADDED[tuning], name)
    )


@pytest.mark.parametrize("tuning", ["lora", "sparse_delta", "ffn"])
def test_a_sparse_start_stays_sparse_where_it_is_not_trained(small, tuning):
    start = train.obtain(small("method=magnitude_before", "sparsity=0.5"))
    zeros = {
        name: weight == 0
        for name, weight in AutoModelForMultipleChoice.from_pretrained(start.model).named_parameters()
        if ".layer." in name and weight.dim() == 2
    }
    run = train.obtain(on(start, *of_tuning(tuning), "steps=6", "lr=0.01"))
    weights = torch.load(run.checkpoint, weights_only=True)["state_dict"]
    if tuning in MERGED:
        weights = {
            f"network.{n}": w for n, w in AutoModelForMultipleChoice.from_pretrained(run.model).named_parameters()
        }
    for name, places in zeros.items():
        if tuning != "ffn" or "attention" in name:
            assert torch.equal(weights[f"network.{name}"] == 0, places)


@pytest.mark.parametrize(
    ("tuning", "method"),
    [
        ("lora", "movement"),
        ("ia3", "gmp"),
        ("prefix", "gmp"),
        ("adapter", "learned_mask_joint"),
        ("sparse_delta", "rigl"),
    ],
)
def test_sparsity_of_what_is_added(small, tmp_path, tuning, method):
    run = parts(small(*of_tuning(tuning), *of_method(method, 0.5), "scope=adapters"))
    initial = run.weights
    numbers = run.fit(tmp_path)
    masks = run.sparsifier.masks
    assert masks
    assert all(re.search(ADDED[tuning], name) for name in masks)
    assert numbers["sparsity"]["scope"] == pytest.approx(0.5, abs=0.02)
    for name, weight in run.weights.items():
        if name in masks:
            assert not weight[~masks[name]].any()
        elif not re.search(f"{ADDED[tuning]}|{HEAD}", name):
            assert torch.equal(weight, initial[name])
    kept = sum(int(mask.sum()) for mask in masks.values())
    others = sum(w.numel() for name, w in initial.items() if re.search(ADDED[tuning], name) and name not in masks)
    assert numbers["trainable"]["without_head"] == kept + others


def test_sparse_deltas_change_few_weights(small):
    run = train.obtain(small("tuning=sparse_delta", *of_method("rigl", 0.9)))
    start = parts(small()).weights
    after = dict(AutoModelForMultipleChoice.from_pretrained(run.model).named_parameters())
    matrices = [name for name in start if ".layer." in name and start[name].dim() == 2]
    changed = sum(int((after[name] != start[name]).sum()) for name in matrices)
    assert 0 < changed <= 0.1 * sum(start[name].numel() for name in matrices) + 1


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("rigl", "needs its gradients"),
        ("snip", "needs its gradients"),
        ("set", "comes back to be trained"),
        ("ac_dc", "comes back to be trained"),
        ("learned_mask_joint", "comes back to be trained"),
        ("top_kast", "comes back to be trained"),
    ],
)
def test_illegal_methods_of_frozen_weights(small, method, reason):
    config = small("tuning=lora", *of_method(method))
    message = rf"query\.base_layer\.weight is frozen by the tuning, and .*{reason}; use a method .* scope=adapters"
    with pytest.raises(ValueError, match=message):
        train.obtain(config)


def test_work_with_lora_is_that_of_the_merged_network(small, tmp_path):
    full, lora = parts(small()), parts(small("tuning=lora", "tuning.parts=[query,key,value,intermediate]"))
    frozen = parts(small("tuning=bitfit"))
    numbers = [run.fit(tmp_path / str(index))["flops"] for index, run in enumerate((full, lora, frozen))]
    assert numbers[1]["inference"] == pytest.approx(numbers[0]["inference"], rel=1e-9)
    assert numbers[2]["inference"] == numbers[0]["inference"]
    # A third of training is the gradients of weights: here those of the head, and what attention takes in their stead.
    assert 2 / 3 < numbers[2]["train"] / numbers[0]["train"] < numbers[1]["train"] / numbers[0]["train"] < 1

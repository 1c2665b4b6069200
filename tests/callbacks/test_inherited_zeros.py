"""The zeros of a model that was pretrained sparse stay zero in whatever it is trained for next."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from callbacks.dense import Dense
from callbacks.inherited_zeros import InheritedZeros
from models.tiny import Tiny
from sparsity.inherited import inherited
from tests.cli.program import results, train
from tests.conftest import SMALL, composed, of_method
from tests.methods.building import parts

TASK = [item for item in SMALL if not item.startswith("model.")]
TABLE = "bert.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a masked language model, 80 % sparse in encoder and word embeddings."""
    more = ["task=little_world_mlm", "compat=numenta", "method.sparsifier.schedule.every=2"]
    run = parts(composed(*SMALL, "method=rigl_global", "sparsity=0.8", *more))
    folder = tmp_path_factory.mktemp("pretrained")
    run.fit(folder)
    run.module.save(folder / "model")
    return folder / "model"


@pytest.fixture
def tuned(pretrained: Path, tmp_path: Path) -> Callable[..., DictConfig]:
    """Composes a run of another task that starts from that model."""
    model = ["model=pretrained", f"model.name={pretrained}"]
    return lambda *overrides: composed(*TASK, *model, f"root={tmp_path / 'outputs'}", "lr=0.01", *overrides)


def revived(before: Path, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Weights that were zero and are not, by name of the matrices that both have."""
    old = load_file(before / "model.safetensors")
    return {
        name: int(((old[name] == 0) & (weight != 0)).sum())
        for name, weight in weights.items()
        if name in old and weight.dim() > 1
    }


@pytest.mark.parametrize("task", ["little_world_qa", "little_world_nli", "little_world_mlm"])
@pytest.mark.parametrize("precise", ["adamw_linear", "adamw_onecycle"])
def test_dense_training_revives_nothing(task, precise, tuned, pretrained, tmp_path, caplog):
    run = parts(tuned(f"task={task}", f"optim={precise}"))
    begun = run.weights
    numbers = run.fit(tmp_path)
    again = revived(pretrained, run.weights)
    assert len(again) >= 13
    assert not any(again.values())
    assert any(not torch.equal(weight, begun[name]) for name, weight in run.weights.items() if name == TABLE)
    assert numbers["sparsity"]["target"] == 0
    zeros = sum(int((weight == 0).sum()) for name, weight in run.weights.items() if name in inherited_names(pretrained))
    total = sum(weight.numel() for weight in run.weights.values())
    assert numbers["sparsity"]["model"] == pytest.approx(zeros / total)
    assert numbers["sparsity"]["scope"] == pytest.approx(0.8, abs=0.03)
    assert numbers["flops"]["inference"] < 0.5 * numbers["flops"]["dense_inference"]
    assert "which stay zero" in caplog.text


def inherited_names(folder: Path) -> set[str]:
    return set(inherited(AutoModelForMaskedLM.from_pretrained(folder)))


def test_unless_told_otherwise(tuned, pretrained, tmp_path, caplog):
    run = parts(tuned("method.sparsifier.keep_zeros=false"))
    numbers = run.fit(tmp_path)
    assert sum(revived(pretrained, run.weights).values()) > 1000
    assert numbers["sparsity"] == {"target": 0.0, "scope": 0.0, "model": 0.0}
    assert "may change" in caplog.text


@pytest.mark.parametrize("method", ["gmp", "magnitude_before", "ac_dc", "snip"])
def test_pruning_goes_on_from_the_zeros(method, tuned, pretrained, tmp_path):
    class Watch(Callback):
        """Looks at the weights after each step, also before the first pruning and in dense phases."""

        def on_train_batch_end(self, *_: Any) -> None:
            assert not any(revived(pretrained, run.weights).values())

    run = parts(tuned(*of_method(method, 0.9), "distribution=global"))
    numbers = run.fit(tmp_path, Watch())
    assert numbers["sparsity"]["scope"] == pytest.approx(0.9, abs=1e-3)
    ledger = run.sparsifier.ledger(run.module)
    assert numbers["sparsity"]["model"] > ledger["model"]["sparsity"]  # which does not know of the embeddings


def test_a_resumed_run_keeps_its_zeros(tuned, pretrained, tmp_path):
    class Stopped(BaseException):
        pass

    class Stop(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 7:
                raise Stopped

    def run(method: str, folder: str, *watchers: Callback, **options: Any) -> Any:
        made = parts(tuned(*method.split()))
        made.fit(tmp_path / folder, *watchers, checkpoint_every=0, **options)
        return made

    for method in ("method=dense", " ".join(of_method("ac_dc", 0.9))):
        whole, name = run(method, "whole"), method.split()[0]
        with pytest.raises(Stopped):
            run(method, name, Stop())
        rest = run(method, name, resume=tmp_path / name / "checkpoints" / "last.ckpt")
        assert all(torch.equal(weight, whole.weights[key]) for key, weight in rest.weights.items())
        assert not any(revived(pretrained, rest.weights).values())


def test_what_was_zero_in_the_beginning_counts_and_not_what_is_when_resumed():
    network = nn.Linear(2, 2)
    network.weight.data = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    zeros, again = InheritedZeros(Dense(0.0)), InheritedZeros(Dense(0.0))
    module = SimpleNamespace(network=network)
    zeros.setup(None, module, "fit")
    zeros.on_fit_start(None, module)
    network.weight.data[1, 1] = 0.0
    again.load_state_dict(zeros.state_dict())
    again.setup(None, module, "fit")
    again.on_fit_start(None, module)
    assert again.masks["weight"].tolist() == [[False, True], [True, True]]
    network.weight.data[0, 0] = 1.0
    with pytest.raises(RuntimeError, match="1 weights of weight that came as zeros are not zero"):
        again.check()


def test_methods_that_choose_their_own_masks_say_so(tuned, pretrained, tmp_path, caplog):
    run = parts(tuned(*of_method("rigl", 0.6)))
    run.fit(tmp_path)
    again = revived(pretrained, run.weights)
    assert again[TABLE] == 0  # out of scope
    assert sum(again.values()) > 0
    assert "may change: this method decides" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=gmp", "sparsity=0.5"], r"in scope come .*% sparse, and nothing is revived: sparsity=0.5 is less"),
        (["method=magnitude_before", "sparsity=0.5", "distribution=uniform"], "weights that are not zero and sparsity"),
    ],
)
def test_illegal_sparsity_below_that_of_the_model(overrides, message, tuned, tmp_path):
    with pytest.raises(ValueError, match=message):
        parts(tuned(*overrides)).fit(tmp_path)


def test_a_new_network_is_not_sparse():
    network = Tiny().build(AutoModelForSequenceClassification)
    assert not network.get_input_embeddings().weight[0].any()  # the row of padding
    assert inherited(network) == {}
    network.classifier.weight.data.zero_()
    assert inherited(network) == {}
    network.get_input_embeddings().weight.data[3, :5] = 0  # by chance
    assert inherited(network) == {}
    network.classifier.weight.data[0, 0] = 1
    network.get_input_embeddings().weight.data[3:9] = 0
    masks = inherited(network)
    assert masks.keys() == {TABLE, "classifier.weight"}
    assert int(masks["classifier.weight"].sum()) == 1
    assert not masks[TABLE][0].any()


def test_vectors_do_not_count():
    assert inherited(nn.Linear(3, 4, bias=True)) == {}
    layer = nn.Linear(3, 4)
    layer.bias.data.zero_()
    assert inherited(layer) == {}


def test_from_command_to_command(tmp_path):
    """Pretraining and what follows it, as processes."""
    more = ["task=little_world_mlm", "compat=numenta", "method=rigl_global", "method.sparsifier.schedule.every=2"]
    train(*SMALL, *more, "sparsity=0.8", folder=tmp_path / "first")
    (folder,) = (tmp_path / "first").glob("little_world_mlm-*")
    done = train(*TASK, "model=pretrained", f"model.name={folder / 'model'}", folder=tmp_path / "second")
    ((name, result),) = results(tmp_path / "second").items()
    assert f"{result['sparsity']['scope']:.4%} of the scope" in done.stdout
    assert result["sparsity"]["scope"] == pytest.approx(0.8, abs=0.03)
    ledger = json.loads((tmp_path / "second" / name / "ledger.json").read_text())
    assert ledger["scope"]["sparsity"] == result["sparsity"]["scope"]
    weights = load_file(tmp_path / "second" / name / "model" / "model.safetensors")
    assert not any(revived(folder / "model", weights).values())

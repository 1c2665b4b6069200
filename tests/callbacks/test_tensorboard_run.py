"""What TensorBoard finds in a run folder: read as TensorBoard reads it."""

import csv
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

import callbacks.last_checkpoint
import train
from callbacks.tensorboard_run import csv_and_tensorboard
from tests.conftest import of_method

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData


def events(folder):
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return found.Reload()


def test_an_interrupted_run_logs_no_step_twice_and_ends_with_everything_attached(small, monkeypatch):
    config = small(*of_method("gmp"), "checkpoint_every=0", "steps=23", "logger=tensorboard")
    original = callbacks.last_checkpoint.LastCheckpoint.on_train_batch_start

    def interrupting(self, trainer, *arguments):
        original(self, trainer, *arguments)
        if trainer.global_step == 15:  # the state was saved at 14
            raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.last_checkpoint.LastCheckpoint, "on_train_batch_start", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train.obtain(config)
    monkeypatch.setattr(callbacks.last_checkpoint.LastCheckpoint, "on_train_batch_start", original)
    time.sleep(1)  # TensorBoard orders the files of a run by the second
    run = train.obtain(config)

    found, curves = events(run.folder), defaultdict(list)
    with (run.folder / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            curves[row["metric"]].append((int(row["step"]), pytest.approx(float(row["value"]), rel=1e-6)))
    for name, points in curves.items():
        assert [(event.step, event.value) for event in found.Scalars(name)] == points, name
    scalars = set(found.Tags()["scalars"])
    assert {"train/loss", "val/accuracy", "sparsity"} <= set(curves) <= scalars
    layers = [name for name in scalars if name.startswith("layers/")]
    assert len(layers) == 12
    shown = [event.step for event in found.Scalars(layers[0])]
    assert shown == sorted(set(shown))
    assert shown[0] == 0
    pictures = found.Tags()["images"]
    assert {name.removeprefix("masks/") for name in pictures} < {name.removeprefix("layers/") for name in layers}
    assert [event.step for event in found.Images(pictures[0])] == shown

    result = run.result
    for name, value in result["metrics"].items():
        assert [(e.step, e.value) for e in found.Scalars(f"final/{name}")] == [(23, pytest.approx(value))]
    (flops,) = found.Scalars("final/flops/train")
    assert flops.value == pytest.approx(result["flops"]["train"], rel=1e-6)
    (ledger,) = found.Tensors("ledger/text_summary")
    assert b"| bert.encoder.layer.0.attention.self.query.weight | [16, 16] | 256 |" in ledger.tensor_proto.string_val[0]
    compared = found.PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(compared["_hparams_/session_start_info"]).session_start_info.hparams
    assert (start["method"].string_value, start["seed"].number_value, start["sparsity"].number_value) == ("gmp", 1, 0.6)
    assert "root" not in start


def test_what_belongs_to_a_saved_state_is_on_disk(small, monkeypatch):
    config, on_disk = small(*of_method("gmp"), "checkpoint_every=0", "steps=23", "logger=tensorboard"), []
    original = callbacks.last_checkpoint.LastCheckpoint.on_train_batch_start

    def looking(self, trainer, *arguments):
        original(self, trainer, *arguments)
        if trainer.global_step == 11:  # where the state was saved, and the latest update was that of step 10
            (folder,) = Path(config.root).glob("*-seed*")
            on_disk.extend(event.step for event in events(folder).Scalars("sparsity"))

    monkeypatch.setattr(callbacks.last_checkpoint.LastCheckpoint, "on_train_batch_start", looking)
    train.obtain(config)
    assert on_disk == [2, 4, 6, 8, 10]


def test_illegal_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'lacuna\[tensorboard\]'"):
        csv_and_tensorboard("run", tmp_path / "run", {}, {})

"""What a run leaves for Weights & Biases, read from the files of its offline mode."""

import json
from pathlib import Path

import pytest

from tests.cli.program import results, signalled, train
from tests.conftest import SMALL, of_method

pytest.importorskip("wandb")

BLOCK, HEAD, WHOLE, LAST = 32768, 7, 1, 4


def records(path: Path):
    """The records of a .wandb file: LevelDB's log format behind a header, each record a message."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, message, at = path.read_bytes(), b"", HEAD
    while at + HEAD <= len(data):
        if BLOCK - at % BLOCK < HEAD:
            at += BLOCK - at % BLOCK
            continue
        start, kind = at + HEAD, data[at + 6]
        at = start + int.from_bytes(data[at + 4 : at + 6], "little")
        message += data[start:at]
        if kind in (WHOLE, LAST):
            yield Record.FromString(message)
            message = b""


def of_kind(path: Path, kind: str):
    return [getattr(record, kind) for record in records(path) if record.WhichOneof("record_type") == kind]


def test_an_interrupted_run_goes_on_under_its_id_and_ends_with_everything_attached(tmp_path):
    arguments = [*SMALL, *of_method("gmp"), "checkpoint_every=0", "logger=wandb"]
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    stop = signalled(tmp_path / "signal", "SIGTERM", step=8)
    assert train(*arguments, folder=tmp_path / "outputs", check=False, environment=offline | stop).returncode == 130
    (folder,) = (tmp_path / "outputs").glob("*-seed*")
    (broken,) = folder.glob("wandb/offline-run-*/*.wandb")
    train(*arguments, folder=tmp_path / "outputs", environment=offline)
    (mended,) = set(folder.glob("wandb/offline-run-*/*.wandb")) - {broken}

    for path in (broken, mended):
        (run,) = of_kind(path, "run")
        assert run.run_id == folder.name.rpartition("-")[2]
        assert run.display_name == folder.name
        assert run.run_group == "little_world_qa/gmp"
        assert run.job_type == "sparse"
        assert list(run.tags) == ["gmp", "little_world_qa", "tiny"]
        config = {update.key: json.loads(update.value_json) for update in run.config.update}
        assert (config["seed"], config["sparsity"], config["steps"]) == (1, 0.6, 12)
        assert config["method"]["name"] == "gmp"
        assert config["method"]["sparsifier"]["schedule"]["every"] == 2
    assert [[end.exit_code for end in of_kind(path, "exit")] for path in (broken, mended)] == [[1], [0]]

    result, ledger = results(tmp_path / "outputs")[folder.name], json.loads((folder / "ledger.json").read_text())
    updates = [update for summary in of_kind(mended, "summary") for update in summary.update]
    shown = {update.key: json.loads(update.value_json) for update in updates if update.key}
    assert shown["metrics"] == result["metrics"]
    assert shown["sparsity"] == result["sparsity"]
    assert shown["steps"] == 12
    (file,) = mended.parent.glob("files/media/table/ledger_*.table.json")
    table = json.loads(file.read_text())
    assert table["columns"] == ["name", "shape", "numel", "kept", "sparsity"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert rows == [
        {**{key: tensor[key] for key in table["columns"]}, "shape": str(tensor["shape"])}
        for tensor in ledger["tensors"]
    ]
    assert sum(row["kept"] for row in rows) == ledger["scope"]["kept"]
    assert not list(broken.parent.glob("files/media/table/*"))
    logged = {item.nested_key[0] for step in of_kind(mended, "history") for item in step.item if item.nested_key}
    assert {"train/loss", "val/accuracy", "sparsity"} <= logged
    assert {f"layers/{row['name']}" for row in rows} <= logged
    items = [item for step in of_kind(mended, "history") for item in step.item]
    masks = {item.nested_key[1]: json.loads(item.value_json) for item in items if item.nested_key[0] == "masks"}
    assert len(masks["captions"]) == 6
    for row, caption in ((rows[0], masks["captions"][0]), (rows[-1], masks["captions"][-1])):
        assert caption == f"{row['name']}: {row['sparsity']:.2%}"
    assert all((mended.parent / "files" / name).is_file() for name in masks["filenames"])

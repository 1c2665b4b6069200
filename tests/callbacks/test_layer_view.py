"""What dashboards are shown of masks: the right ones, at the right rate, and without a trace in the run."""

import pytest
import torch
from lightning.pytorch.loggers import Logger

from callbacks.fit import fit
from callbacks.layer_view import TENSORS, VIEWS, picture, some
from callbacks.metrics_file import MetricsFile
from tests.conftest import of_method
from tests.methods.building import build, parts


class Board(Logger):
    """Remembers what it is shown."""

    name, version = "board", ""

    def __init__(self):
        super().__init__()
        self.shown, self.ends = {}, []

    def log_hyperparams(self, *_, **__): ...

    def log_metrics(self, *_, **__): ...

    def show_layers(self, layers, step):
        assert step not in self.shown
        self.shown[step] = layers

    def end(self, result, ledger):
        self.ends.append((result, ledger))


def trained_with(config, folder, *loggers):
    run = parts(config)
    folder.mkdir()
    return fit(
        *(build(config.trainer), run.module, run.sparsifier, folder),
        loggers=[MetricsFile(folder / "metrics.csv"), *loggers],
    )


@pytest.mark.parametrize("method", ["gmp", "rigl", "soft_movement"])
def test_a_board_sees_the_masks_change_and_the_run_does_not_see_the_board(small, tmp_path, method):
    config, board = small(*of_method(method), "steps=60"), Board()
    result, ledger = trained_with(config, tmp_path / "with", board)
    alone, _ = trained_with(config, tmp_path / "without")
    assert result["metrics"] == alone["metrics"]
    curves = [(tmp_path / folder / "metrics.csv").read_text() for folder in ("with", "without")]
    assert curves[0] == curves[1]

    assert board.ends == [(result, ledger)]
    assert VIEWS / 2 <= len(board.shown) <= VIEWS + 2
    assert min(board.shown) == 0
    final = board.shown[max(board.shown)].sparsities
    assert final == {line["name"]: line["sparsity"] for line in ledger["tensors"]}
    for layers in board.shown.values():
        assert list(layers.pictures) == some(list(final))
        for tiles in layers.pictures.values():
            assert 0 <= tiles.min() <= tiles.max() == 1 or not tiles.any()


def test_masks_that_stay_are_shown_once(small, tmp_path):
    board = Board()
    trained_with(small(*of_method("magnitude_before")), tmp_path / "run", board)
    assert list(board.shown) == [0]


def test_there_is_nothing_to_show_of_a_dense_run(small, tmp_path):
    board = Board()
    trained_with(small(), tmp_path / "run", board)
    assert board.shown == {}
    assert len(board.ends) == 1


def test_a_board_is_told_of_a_failure(small, tmp_path):
    board = Board()
    config = small()
    run = parts(config)
    run.module.training_step = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        fit(build(config.trainer), run.module, run.sparsifier, tmp_path, loggers=[board])
    assert board.ends == [({}, {})]


def test_some_tensors_stand_for_all():
    names = [str(index) for index in range(72)]
    assert some(names) == ["0", "14", "28", "43", "57", "71"]
    assert some(names[:TENSORS]) == names[:TENSORS]


def test_the_densest_tile_is_white_and_an_empty_mask_black():
    assert picture(torch.tensor([[True, False], [False, False]])).tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert not picture(torch.zeros(3, 3, dtype=torch.bool)).any()
    mask = torch.zeros(128, 128, dtype=torch.bool)
    mask[::2, ::2] = True
    assert picture(mask).tolist() == torch.ones(64, 64).tolist()

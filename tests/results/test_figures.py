"""Every file of conf/figure/ draws a sweep, and says in a sentence why it cannot draw nothing."""

import itertools

import pytest
from matplotlib.figure import Figure as Canvas
from PIL import Image

from results.drawings import described, draw
from results.figures.axes import Sparsity
from results.figures.figure import in_style, panels
from results.figures.study import looks, studies
from results.groups import grouped
from results.options import FIGURES
from results.reading import read
from tests.results.synthetic import sweep, write_run

NAMES = sorted(path.stem for path in FIGURES.glob("*.yaml"))
TASK = "little_world_qa"
SEEDS = 2


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two methods at three sparsities."""
    root = tmp_path_factory.mktemp("outputs")
    sweep(root, methods=("gmp", "rigl"), sparsities=(0.2, 0.5, 0.8), seeds=SEEDS)
    (found,) = studies(grouped(read(root))[0], {TASK: "test/accuracy"})
    return found


def study_of(root, metric="val/accuracy"):
    (found,) = studies(grouped(read(root))[0], {TASK: metric})
    return found


def drawn(name, study) -> Canvas:
    with in_style():
        return described([name])[name].draw(study)


@pytest.mark.parametrize("name", NAMES)
def test_a_description_draws_and_says_what_it_shows(name, study, tmp_path):
    (drawing,), left_out = draw(described([name]), [study], tmp_path)
    assert left_out == []
    assert len(drawing.caption) > 20
    assert drawing.svg.read_text().count("<path") > 10
    with Image.open(drawing.svg.with_suffix(".png")) as image:
        assert image.width >= 500


@pytest.mark.parametrize("name", NAMES)
def test_without_data_a_sentence_and_no_file(name, tmp_path):
    write_run(tmp_path / "outputs", "gmp", 0.5, 1, {})
    drawings, (sentence,) = draw(described([name]), [study_of(tmp_path / "outputs")], tmp_path / "figures")
    assert drawings == []
    assert sentence.startswith(f"{name} of {TASK}, tiny is left out: no ")
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_single_run_draws_or_says_why_not(name, tmp_path):
    sweep(tmp_path / "outputs", methods=("gmp",), sparsities=(0.5,), seeds=1)
    drawings, left_out = draw(described([name]), [study_of(tmp_path / "outputs")], tmp_path / "figures")
    assert len(drawings) + len(left_out) == 1


@pytest.mark.parametrize("name", ["training_loss", "metric_over_sparsity"])
def test_the_dense_model_alone(name, tmp_path):
    sweep(tmp_path / "outputs", methods=(), sparsities=(), seeds=2)
    drawings, left_out = draw(described([name]), [study_of(tmp_path / "outputs")], tmp_path / "figures")
    assert (len(drawings), len(left_out)) == ((1, 0) if name == "training_loss" else (0, 1))


def test_the_same_results_give_the_same_file(study, tmp_path):
    for folder in ("one", "two"):
        draw(described(["metric_over_sparsity"]), [study], tmp_path / folder)
    name = f"metric_over_sparsity-{TASK}-tiny.svg"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_metric_over_sparsity_shows_means_bands_and_the_dense_line(study):
    (axes,) = drawn("metric_over_sparsity", study).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"gmp", "rigl", "dense"}
    means = [group.summary("test/accuracy").mean for group in study.series["gmp"]]
    assert list(lines["gmp"].get_xdata()) == [0.2, 0.5, 0.8]
    assert list(lines["gmp"].get_ydata()) == pytest.approx(means)
    dense = study.dense[0].summary("test/accuracy")
    assert lines["dense"].get_ydata()[0] == pytest.approx(dense.mean)
    low = axes.collections[0].get_paths()[0].vertices[:, 1].min()
    first = [group.summary("test/accuracy") for group in study.series["gmp"]]
    assert low == pytest.approx(min(summary.mean - summary.std for summary in first))


def test_levels_of_iterative_pruning_lie_equally_far_apart():
    with in_style():
        canvas, (axes,) = panels(1)
        levels = [1 - 0.8**level for level in range(1, 6)]
        axes.plot(levels, levels)
        Sparsity().arrange(axes, levels)
        canvas.draw_without_rendering()
        places = axes.transData.transform([(level, 0) for level in levels])[:, 0]
    steps = places[1:] - places[:-1]
    assert steps == pytest.approx(steps[0].repeat(4))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["67.2", "59", "48.8", "36", "20"]


def test_ticks_that_would_touch_are_left_out():
    with in_style():
        _, (axes,) = panels(1)
        Sparsity().arrange(axes, [0.1, 0.11, 0.5, 0.9])
    assert list(axes.get_xticks()) == [0.9, 0.5, 0.11]


def test_runs_that_stop_on_their_way_are_not_drawn(tmp_path):
    write_run(tmp_path, "dense", 0.0, 1, {"val/accuracy": 0.9})
    write_run(tmp_path, "dense", 0.0, 1, {"val/accuracy": 0.1}, stop_step=5)
    assert [group.label for group in study_of(tmp_path).groups] == ["dense"]


def test_training_flops_are_those_of_all_runs_behind_a_point(tmp_path):
    dense = write_run(tmp_path, "dense", 0.0, 1, {"val/accuracy": 0.9}, flops=4e9)
    write_run(tmp_path, "lth", 0.2, 1, {"val/accuracy": 0.8}, flops=3e9, started_from=dense.name)
    write_run(tmp_path, "gmp", 0.2, 1, {"val/accuracy": 0.8}, flops=3e9)
    write_run(tmp_path, "gmp", 0.2, 2, {"val/accuracy": 0.8}, flops=3e9, started_from="which is gone")
    (axes,) = drawn("metric_over_training_flops", study_of(tmp_path)).axes
    lines = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert lines["lth"] == [7e9]
    assert "gmp" not in lines
    assert axes.get_xlabel().endswith("($10^{9}$)")


def test_heat_map_rows_are_layers_and_cells_their_sparsity(tmp_path):
    tensors = [
        {"name": f"bert.encoder.layer.{layer}.{part}.weight", "numel": 100, "kept": kept}
        for layer, part, kept in ((0, "a", 20), (0, "b", 40), (10, "a", 90))
    ]
    tensors.append({"name": "bert.pooler.dense.weight", "numel": 4, "kept": 4})
    write_run(tmp_path, "gmp", 0.5, 1, {}, tensors=tensors)
    axes, *_ = drawn("sparsity_of_layers", study_of(tmp_path)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "10", "pooler.dense"]
    assert list(axes.collections[0].get_array().flatten()) == pytest.approx([0.7, 0.1, 0.0])


def test_robustness_has_a_panel_for_each_set(study):
    grid = [axes for axes in drawn("robustness", study).axes if axes.get_visible()]
    assert [axes.get_title() for axes in grid] == ["hans", "paws_qqp"]
    line = next(line for line in grid[0].lines if line.get_label() == "gmp")
    for values, metric in ((line.get_xdata(), "test/accuracy"), (line.get_ydata(), "ood/hans/accuracy")):
        assert list(values) == [group.summary(metric).mean for group in study.series["gmp"]]


def test_curves_are_means_over_the_seeds_that_have_a_value(tmp_path):
    write_run(tmp_path, "gmp", 0.5, 1, {}, curves={"train/loss": {1: 1.0, 2: 0.5}})
    write_run(tmp_path, "gmp", 0.5, 2, {}, curves={"train/loss": {1: 2.0}})
    (axes,) = drawn("training_loss", study_of(tmp_path)).axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 1.5], [2, 0.5]]
    assert axes.get_title() == "50 % sparse"


def test_no_two_of_the_methods_look_alike():
    found = [tuple(map(str, look.values())) for look in looks([str(number) for number in range(60)]).values()]
    assert len(set(found)) == 60
    for one, other in itertools.pairwise(found):
        assert all(a != b for a, b in zip(one, other, strict=True))


def test_dense_models_can_be_told_apart(tmp_path):
    for lr in (1e-3, 1e-4):
        write_run(tmp_path, "dense", 0.0, 1, {"val/accuracy": 0.9}, lr=lr, curves={"train/loss": {1: 1.0}})
    write_run(tmp_path, "gmp", 0.2, 1, {"val/accuracy": 0.8})
    for name in ("metric_over_sparsity", "training_loss"):
        (axes,) = drawn(name, study_of(tmp_path)).axes
        dense = [line for line in axes.lines if line.get_label().startswith("dense (lr=")]
        assert len({line.get_color() for line in dense}) == 2


def test_a_method_looks_the_same_for_every_task(tmp_path):
    sweep(tmp_path, methods=("gmp", "rigl"), sparsities=(0.5,), seeds=1, tasks=("little_world_qa",), files=False)
    sweep(tmp_path, methods=("rigl",), sparsities=(0.5,), seeds=1, tasks=("little_world_nli",), files=False)
    metrics = dict.fromkeys(("little_world_nli", "little_world_qa"), "val/accuracy")
    nli, qa = studies(grouped(read(tmp_path))[0], metrics)
    assert list(nli.series) == ["rigl"]
    assert nli.looks["rigl"] == qa.looks["rigl"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_target_: results.figures.curves.Curves\ncaption: c\nmetrc: a\n", "unknown key 'figure.mine.metrc'; did you"),
        ("_target_: results.figures.curves.Curves\ncaption: c\n", r"'figure.mine.metric' is missing"),
        ("_target_: results.figures.curvs.Curves\n", "there is no module results.figures.curvs"),
        ("_target_: results.statistics.interval\nn: 2\nstd: 1.0\n", r"conf/figure/mine.yaml: _target_ must be a class"),
    ],
)
def test_illegal_description(tmp_path, monkeypatch, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setattr("results.drawings.FIGURES", tmp_path)
    with pytest.raises(ValueError, match=message):
        described(None)


def test_a_file_adds_a_figure(tmp_path, monkeypatch, study):
    (tmp_path / "mine.yaml").write_text("_target_: results.figures.curves.Curves\ncaption: Mine.\nmetric: survival\n")
    monkeypatch.setattr("results.drawings.FIGURES", tmp_path)
    (drawing,), _ = draw(described(None), [study], tmp_path)
    assert (drawing.figure, drawing.caption) == ("mine", "Mine.")

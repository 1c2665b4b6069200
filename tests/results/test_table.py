"""The table, to the letter."""

# ruff: noqa: E501

import csv
import io

import pytest

from results import table
from results.comparison import compare
from results.groups import grouped
from results.reading import read
from tests.results.synthetic import write_run


@pytest.fixture
def groups(tmp_path):
    """Dense .8; gmp .70, .74, .72 at .5, one of which lacks F1; rigl at .5 with one seed."""
    write_run(tmp_path, "dense", 0.0, 1, {"val/accuracy": 0.8, "val/f1": 0.9}, flops=4.0)
    for seed, accuracy in enumerate((0.70, 0.74, 0.72), start=1):
        f1 = None if seed == 3 else 0.6 + 0.1 * seed
        write_run(tmp_path, "gmp", 0.5, seed, {"val/accuracy": accuracy, "val/f1": f1})
    write_run(tmp_path, "rigl", 0.5, 1, {"val/accuracy": 1234.5678})
    return grouped(read(tmp_path))[0]


def test_markdown(groups):
    assert table.markdown(table.cells(groups, ["val/accuracy", "val/f1"])) == (
        "| task | model | method | sparsity | scope | of model | n | val/accuracy | val/accuracy 95 % | val/accuracy max"
        " | val/f1 | val/f1 95 % | val/f1 max |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| little_world_qa | tiny | dense | 0 | 0.00% | 0.00% | 1 | 0.8000 |  | 0.8000 | 0.9000 |  | 0.9000 |\n"
        "| little_world_qa | tiny | gmp | 0.5 | 50.00% | 25.00% | 3 | 0.7200 ± 0.0200 | [0.6703, 0.7697] | 0.7400"
        " | 0.7500 ± 0.0707 (n=2) | [0.1147, 1.3853] | 0.8000 |\n"
        "| little_world_qa | tiny | rigl | 0.5 | 50.00% | 25.00% | 1 | 1235 |  | 1235 |  |  |  |\n"
    )


def test_latex(groups):
    assert table.latex(table.cells(groups[:2], ["val/accuracy"])).splitlines() == [
        r"\begin{tabular}{llllllllll}",
        r"\toprule",
        r"task & model & method & sparsity & scope & of model & n & val/accuracy & val/accuracy 95 \% & val/accuracy max \\",
        r"\midrule",
        r"little\_world\_qa & tiny & dense & 0 & 0.00\% & 0.00\% & 1 & 0.8000 &  & 0.8000 \\",
        r"little\_world\_qa & tiny & gmp & 0.5 & 50.00\% & 25.00\% & 3 & 0.7200 $\pm$ 0.0200 & [0.6703, 0.7697] & 0.7400 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_csv_has_every_number_as_it_is(groups):
    dense, gmp, rigl = csv.DictReader(io.StringIO(table.csv(groups, ["val/accuracy", "val/f1"])))
    expected = {
        **{"task": "little_world_qa", "model": "tiny", "method": "gmp", "settings": "", "sparsity": "0.5"},
        **{"scope_sparsity": "0.5", "model_sparsity": "0.25", "n": "3", "steps": "100.0", "seconds": "20.0"},
        **{"train_flops": "1000000000000000.0", "train_flops_with_origins": "1000000000000000.0"},
        **{"inference_flops": "750000000.0", "dense_inference_flops": "1000000000.0"},
        **{"val/accuracy/n": "3", "val/accuracy/max": "0.74", "val/f1/n": "2.0", "val/f1/max": "0.8"},
    }
    assert {key: gmp[key] for key in expected} == expected
    numbers = [float(gmp[f"val/accuracy/{name}"]) for name in ("mean", "std", "ci95_low", "ci95_high")]
    assert numbers == pytest.approx([0.72, 0.02, 0.670317, 0.769683], abs=1e-6)
    assert [run.rsplit("-", 2)[1] for run in gmp["runs"].split()] == ["seed1", "seed2", "seed3"]
    assert (dense["val/accuracy/std"], rigl["val/f1/mean"]) == ("", "")
    assert list(dense)[-1] == "runs"


def test_terminal_and_brief_rows(groups):
    lines = table.aligned(table.brief(groups[1:2], {"little_world_qa": "val/accuracy"})).splitlines()
    assert lines == [
        "task             model  method  sparsity  scope   of model  n  metric        mean             95 %              max",
        "little_world_qa  tiny   gmp     0.5       50.00%  25.00%    3  val/accuracy  0.7200 ± 0.0200  [0.6703, 0.7697]  0.7400",
    ]


def test_cells_that_would_break_a_table():
    rows = [{"a|b": "x|y", "c_d": r"\ ~ ^ {5%} & #$"}]
    assert table.markdown(rows).splitlines()[2] == r"| x\|y | \ ~ ^ {5%} & #$ |"
    cell = r"\textbackslash  \textasciitilde  \textasciicircum  \{5\%\} \& \#\$"
    assert cell in table.latex(rows)


def test_settings_have_a_column_where_there_are_any(tmp_path):
    for lr in (1e-3, 1e-4):
        write_run(tmp_path, "gmp", 0.5, 1, {"val/accuracy": 0.5}, lr=lr)
    rows = table.cells(grouped(read(tmp_path))[0], ["val/accuracy"])
    assert [row["settings"] for row in rows] == ["lr=0.0001", "lr=0.001"]


class TestComparison:
    def test_methods_are_compared_at_each_sparsity_on_common_seeds(self, tmp_path):
        for seed in (1, 2, 3):
            write_run(tmp_path, "dense", 0.0, seed, {"a": 0.9})
            write_run(tmp_path, "gmp", 0.5, seed, {"a": 0.5 + 0.1 * seed})
            write_run(tmp_path, "gmp", 0.8, seed, {"a": 0.4})
            if seed > 1:
                write_run(tmp_path, "rigl", 0.5, seed, {"a": 0.5})
        groups = grouped(read(tmp_path))[0]
        (one,), missed = compare(groups, ("gmp", "rigl"), "a")
        assert (one.first.sparsity, one.outcome.n, one.outcome.mean) == (0.5, 2, pytest.approx(0.25))
        assert missed == []
        assert one.cells["difference"] == "+0.2500"
        assert [one.first.sparsity for one in compare(groups, ("gmp", "dense"), "a")[0]] == [0.5, 0.8]

    def test_settings_are_compared_with_the_same_settings(self, tmp_path):
        for seed in (1, 2):
            for lr in (1e-3, 1e-4):
                write_run(tmp_path, "gmp", 0.5, seed, {"a": 0.5 + lr * seed}, lr=lr)
                write_run(tmp_path, "rigl", 0.5, seed, {"a": 0.5}, lr=lr)
        found, _ = compare(grouped(read(tmp_path))[0], ("gmp", "rigl"), "a")
        assert [(one.first.settings, one.second.settings) for one in found] == [("lr=0.0001",) * 2, ("lr=0.001",) * 2]

    def test_what_cannot_be_compared_is_said(self, tmp_path):
        write_run(tmp_path, "gmp", 0.5, 1, {"a": 0.5})
        write_run(tmp_path, "rigl", 0.5, 2, {"a": 0.5})
        write_run(tmp_path, "set", 0.8, 1, {"a": 0.5})
        groups = grouped(read(tmp_path))[0]
        assert compare(groups, ("gmp", "rigl"), "a") == (
            [],
            [
                "little_world_qa tiny gmp at 0.5 and little_world_qa tiny rigl at 0.5 are not compared by a: no seed in common"
            ],
        )
        assert compare(groups, ("gmp", "set"), "a")[1] == [
            "gmp and set share no task, model, sparsity and settings to be compared at"
        ]

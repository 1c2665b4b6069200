"""The command, from folders to files."""

import subprocess
import sys

import pytest

from report import main
from results.options import HELP, Options
from tests.conftest import ROOT
from tests.results.synthetic import sweep, write_run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("outputs")
    sweep(root, methods=("gmp", "rigl"), sparsities=(0.5, 0.8), seeds=2, files=False)
    return root


def test_a_stranger_sees(root, capsys):
    main([f"root={root}", "figure=metric_over_sparsity"])
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == "task model method sparsity scope of model n metric mean 95 % max"
    assert lines[1].split()[:4] == ["little_world_qa", "tiny", "dense", "0"]
    assert lines[-2:] == ["10 finished runs", f"page: {root}/report/index.html"]
    written = sorted(str(path.relative_to(root / "report")) for path in (root / "report").rglob("*.*"))
    figure = "figures/metric_over_sparsity-little_world_qa-tiny"
    assert written == [f"{figure}.png", f"{figure}.svg", "index.html", "table.csv", "table.md", "table.tex"]
    assert "val/loss" not in (root / "report" / "table.md").read_text()
    assert "val/loss/mean" in (root / "report" / "table.csv").read_text()


def test_a_report_again_leaves_nothing_of_the_one_before(root, capsys):
    main([f"root={root}", "figure=metric_over_sparsity"])
    main([f"root={root}", "figure=[]", "method=gmp", "metric=val/loss"])
    assert "4 finished runs\n" in capsys.readouterr().out
    assert not (root / "report" / "figures").exists()
    text = (root / "report" / "table.md").read_text()
    assert "rigl" not in text
    assert "val/loss 95 %" in text
    assert "val/accuracy" not in text


def test_comparison_on_the_terminal(root, capsys):
    main([f"root={root}", "figure=[]", "compare=gmp,rigl"])
    assert "no Wilcoxon: 2 pairs that differ cannot come below 0.05, 6 can" in capsys.readouterr().out


def test_what_else_there_is_is_counted_and_named(tmp_path, capsys):
    fine, failed, unfinished, damaged = (write_run(tmp_path, "gmp", 0.5, seed, {"val/a": 0.5}) for seed in range(1, 5))
    (failed / "result.json").write_text('{"status": "failed", "error": "ValueError: nan"}')
    (unfinished / "result.json").unlink()
    (damaged / "result.json").write_text("{")
    main([f"root={tmp_path}", "figure=[]"])
    said = capsys.readouterr()
    assert said.err == f"{damaged / 'result.json'} is not a result; delete it to run this again\n"
    assert f"1 finished runs; 1 unfinished, 1 damaged, 1 failed: {failed.name}\n" in said.out
    (fine / "result.json").unlink()
    with pytest.raises(ValueError, match="has no finished runs; 2 unfinished, 1 damaged, 1 failed: "):
        main([f"root={tmp_path}"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gmp"], "'gmp' is not an option; write key=value, one of root, task"),
        (["metod=gmp"], "unknown key 'metod'; did you mean 'method'?"),
        (["method=gpm"], "method=gpm is not among the finished runs; did you mean 'gmp'?"),
        (["metric=val/acuracy"], "metric=val/acuracy is not among the metrics of these runs; did you mean 'val/acc"),
        (["sparsity=half"], "sparsity=half must be a number"),
        (["sparsity=0.6"], "sparsity=0.6 is not among the finished runs"),
        (["figure=loss"], "figure=loss is not among the choices"),
        (["figure=trainingloss"], "did you mean 'training_loss'?"),
        (["compare=gmp"], "compare=gmp must name two methods"),
        (["compare=gmp,set"], "method=set is not among the finished runs"),
        (["root=/nowhere/at/all"], "root=/nowhere/at/all is not a folder"),
        (["task="], "'task=' needs a value"),
        (["root.sub=x"], "unknown key 'root.sub'"),
        (["method=[gmp"], "'method=[gmp' is not an option"),
        (["method=gmp", "sparsity=0.0"], "sparsity=0.0 is not among the finished runs"),
    ],
)
def test_illegal_command(root, words, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        main([f"root={root}", *words])
    assert message in str(raised.value)


def test_values_are_lists_however_they_are_written():
    found = [Options.parse([word]).method for word in ("method=a,b", "method=[a,b]", "method=['a', b]")]
    assert found == [["a", "b"]] * 3
    assert Options.parse(["sparsity=0.5,0.8"]).sparsity == Options.parse(["sparsity=[0.5,0.8]"]).sparsity == [0.5, 0.8]
    assert Options.parse(["sparsity=0.5"]).sparsity == [0.5]
    assert Options.parse(["figure=[]"]).figure == []


def test_a_root_that_cannot_be_written_to(tmp_path):
    write_run(tmp_path, "gmp", 0.5, 1, {"val/a": 0.5})
    (tmp_path / "report").write_text("")
    with pytest.raises(ValueError, match="report cannot be written to: File exists"):
        main([f"root={tmp_path}"])


def test_the_program_ends_with_one_sentence_and_never_imports_torch(root):
    code = "import sys; from report import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, f"root={root}", "figure=[]", "compare=gmp,rigl"],
        **{"cwd": ROOT, "capture_output": True, "text": True, "check": True},
    )
    assert done.stdout.splitlines()[-1] == "False"
    done = subprocess.run(
        [sys.executable, "report.py", "method=x", f"root={root}"],
        **{"cwd": ROOT, "capture_output": True, "text": True, "check": False},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: method=x is not among the finished runs; choose one of dense, gmp, rigl\n"


def test_help_names_every_option(capsys):
    main(["--help"])
    assert capsys.readouterr().out == HELP + "\n"
    for name in Options.__dataclass_fields__:
        assert f"{name}=" in HELP

"""The curves file: appended to, and taken back to the step that a run goes on from."""

from callbacks.metrics_file import MetricsFile


def test_append_and_rewind(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    for step in (0, 9, 19):
        file.log_metrics({"loss": step / 4, "epoch": 0}, step)
    assert (tmp_path / "metrics.csv").read_text().split() == [
        "step,metric,value",
        "0,loss,0.0",
        "9,loss,2.25",
        "19,loss,4.75",
    ]
    file.rewind(19)
    assert (tmp_path / "metrics.csv").read_text().split() == ["step,metric,value", "0,loss,0.0", "9,loss,2.25"]


def test_a_line_that_was_cut_off_is_taken_away(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.log_metrics({"loss": 1.0}, 1)
    with (tmp_path / "metrics.csv").open("a") as raw:
        raw.write("2,lo")
    file.rewind(5)
    assert (tmp_path / "metrics.csv").read_text().split() == ["step,metric,value", "1,loss,1.0"]


def test_nothing_to_rewind(tmp_path):
    MetricsFile(tmp_path / "metrics.csv").rewind(3)
    assert not (tmp_path / "metrics.csv").exists()

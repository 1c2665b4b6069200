"""What the README says is true: its commands compose, its example works, its tables name what there is."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from runs.settings import check
from tests.conftest import ROOT, SMALL, composed, first_job

README = (ROOT / "README.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)[2:] for line in README.splitlines() if re.match(r"\s*python train\.py( |$)", line)
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_compose(command):
    overrides = first_job(command)
    check(composed(*overrides), overrides)


def test_there_are_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize(
    "group", ["task", "model", "method", "scope", "distribution", "pattern", "sparsity_of", "trainer", "logger"]
)
def test_tables_name_every_option(group):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{group}=`"))
    options = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
    assert options <= set(re.findall(r"`(\w+)`", row))


def test_keys_that_the_text_names_exist():
    for key in ("method.sparsifier.schedule.every=50", "method.start.rewind_step=100"):
        assert key in README
        composed("method=lth" if "start" in key else "method=rigl", key)


def test_a_method_of_ones_own_is_one_function_and_one_file(tmp_path):
    copy = tmp_path / "lacuna"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "outputs", "*.egg-info", "__pycache__"))
    function = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    yaml = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)[1]
    with (copy / "sparsity" / "scores.py").open("a") as scores:
        scores.write("\n\n" + function)
    (copy / "conf" / "method" / "taylor.yaml").write_text(yaml)
    command = [sys.executable, "train.py", *SMALL, "method=taylor", "sparsity=0.5"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "50.0" in done.stdout


def test_the_two_commands_are_targets_and_ci_runs_the_second():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+) ", README, re.MULTILINE):
        assert f"\n{target}: " in makefile
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"

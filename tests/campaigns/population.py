"""A population on this machine: members copy each other, and the same command again shows what was best.

python -m tests.campaigns.population
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT, SMALL


def main() -> None:
    root = Path(tempfile.mkdtemp(prefix="population-"))
    options = ["hydra/sweeper=pbt", "hydra/launcher=ray", "hydra.sweeper.members=4", "hydra.sweeper.quantile=0.5"]
    run = [*SMALL, "steps=60", "validations=6", "method=rigl", "sparsity=0.5", "method.sparsifier.schedule.every=7"]
    command = [sys.executable, "train.py", "-m", *options, *run, "lr=tag(log,interval(1e-6,1e-1))", f"root={root}"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (history,) = root.glob("population-*/history.csv")
    with history.open() as file:
        rows = list(csv.DictReader(file))
    assert first.splitlines()[-2:] == again.splitlines()
    assert all(1e-6 <= float(row["lr"]) <= 1e-1 for row in rows)
    assert len({row["member"] for row in rows}) == 4
    values = {member: {row["lr"] for row in rows if row["member"] == member} for member in {r["member"] for r in rows}}
    print(first)
    print("members whose learning rate changed:", sum(len(each) > 1 for each in values.values()), "of", len(values))


if __name__ == "__main__":
    main()

"""A sweep of 24 small runs that meets every fault at once: what could finish has, nothing is trained twice.

    python -m tests.campaigns.faults local
    python -m tests.campaigns.faults ray

Three runs raise an exception and one is killed, the first time that they are trained. When half of the runs are done,
the head of the sweep is killed with SIGKILL. The same command then trains what is missing, and a third one nothing.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cli.program import results
from tests.conftest import ROOT, SMALL

SABOTAGE = """
import os, pathlib, sys
if "--config-name" in sys.argv[-1]:
    import lightning.pytorch as pl
    name, notes = sys.argv[-1].partition("=")[2], pathlib.Path(os.environ["NOTES"])
    first = not (notes / f"{name}.sabotaged").exists()

    def on_train_start(self):
        with (notes / name).open("a") as file:
            file.write(f"{self.trainer.global_step} ")

    def on_train_batch_end(self, *_):
        if self.trainer.global_step == 5 and first:
            if "-s0.3-seed1-" in name or "-s0.6-seed2-" in name:
                (notes / f"{name}.sabotaged").touch()
                if "random_before-s0.6" in name:
                    os.kill(os.getpid(), 9)
                raise RuntimeError("injected")

    pl.LightningModule.on_train_start = on_train_start
    pl.LightningModule.on_train_batch_end = on_train_batch_end
"""


def main(launcher: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    root, notes = folder / "outputs", folder / "notes"
    notes.mkdir()
    (folder / "sitecustomize.py").write_text(SABOTAGE)
    swept = ["method=magnitude_before,random_before", "sparsity=0.3,0.6", "seed=1,2,3,4,5,6"]
    command = [sys.executable, "train.py", "-m", *SMALL, *swept]
    command += [f"root={root}", f"hydra/launcher={launcher}", "checkpoint_every=0"]
    command += ["hydra.launcher.at_once=2"] if launcher == "local" else []
    environment = {**os.environ, "NOTES": str(notes), "PYTHONPATH": f"{folder}:{ROOT}"}

    head = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=(folder / "head.log").open("w"))
    while sum(result["status"] == "completed" for result in results(root).values()) < 12 and head.poll() is None:
        time.sleep(0.2)
    assert head.poll() is None, (folder / "head.log").read_text()
    head.kill()
    head.wait()
    time.sleep(60)  # in which the jobs notice, however busy the machine is
    left = subprocess.run(["pgrep", "-f", f"config-path={root}"], capture_output=True, text=True, check=False).stdout
    assert not left, f"jobs that outlive their sweep: {left}"
    before = {name for name, result in results(root).items() if result["status"] == "completed"}
    print(f"head killed: {len(before)} completed, {len(results(root)) - len(before)} failed", flush=True)

    for _ in range(2):  # the job that is killed may not have begun before
        again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        states = collections.Counter(result["status"] for result in results(root).values())
        print(f"the same command: exit code {again.returncode}, {dict(states)}", flush=True)
    print("\n".join(line for line in again.stdout.splitlines() if line.startswith("failed")))
    begun = {
        path.name: [int(step) for step in path.read_text().split()]
        for path in notes.iterdir()
        if "." not in path.name[-10:]
    }
    sabotaged = {path.name.removesuffix(".sabotaged") for path in notes.glob("*.sabotaged")}
    third = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert len(results(root)) == 24
    assert {result["status"] for result in results(root).values()} == {"completed"}
    assert len(sabotaged) == 4
    assert all(len(begun[name]) == 1 for name in before), "a completed run was trained again"
    assert "started" not in third.stdout
    assert "queued" not in third.stdout
    twice = {name: steps for name, steps in begun.items() if steps.count(0) > 1}
    resumed = {name: steps for name, steps in begun.items() if len(steps) > 1 and steps.count(0) == 1}
    print(
        f"begun anew: {len(twice)}, all sabotaged: {twice.keys() <= sabotaged}; resumed at: {sorted(resumed.values())}"
    )
    print(json.dumps({"runs": 24, "trainings": sum(map(len, begun.values())), "launcher": launcher}))


if __name__ == "__main__":
    main(*sys.argv[1:])

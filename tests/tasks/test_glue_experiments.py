"""The experiments on GLUE as they stand, for a few steps on a RoBERTa of a few weights and files as GLUE ships them."""

import pytest

import train
from tests.conftest import composed
from tests.tasks.glue_files import write

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
STEPS = ["steps=3", "epochs=null", "validations=null"]
EXPERIMENTS = {
    "glue_run_glue": STEPS,
    "petl_full": STEPS,
    "petl_glue": [*STEPS, "tuning.layers=[0]"],
    "petl_layers": [*STEPS, "tuning.layers=[0]"],
    "petl_scale": [*STEPS, "tuning.layers=[0]", "tuning.bottleneck=4"],
    "petl_population": STEPS,
    "lr_range": ["steps=4"],
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_experiment_runs(roberta, tmp_path, experiment):
    data = write(tmp_path, "mrpc", rows=24)
    more = EXPERIMENTS[experiment] + ["batch_size=8", "trainer=cpu", f"root={tmp_path / 'outputs'}"]
    model = [] if experiment != "lr_range" else ["model=pretrained"]
    places = [f"model.name={roberta}", f"task.data_dir={data}"]
    run = train.obtain(composed(f"experiment={experiment}", "task=mrpc", *model, *places, *more))
    assert run.result["steps"] == int(more[0].partition("=")[2])
    assert {"val/f1", "val/accuracy"} <= run.result["metrics"].keys()
    assert (run.folder / "submission" / "MRPC.tsv").exists()

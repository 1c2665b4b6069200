"""Whether masks can change when a method says, looked at before anything is trained."""

from hydra.utils import instantiate
from omegaconf import DictConfig


def check_plan(config: DictConfig) -> None:
    """Makes the plan of a run whose number of steps is known; the schedules it takes are quickly imported.

    Raises:
        ValueError: there are too few steps for it, or no such fraction can be dropped.
    """
    sparsifier, steps = config.method.sparsifier, config.method.get("retrain_steps")
    steps = config.steps if steps is None else steps
    fraction = sparsifier.get("drop_fraction")
    if fraction is not None and not 0 < fraction <= 1:
        raise ValueError(f"method.sparsifier.drop_fraction={fraction} must be above 0 and at most 1")
    if steps is not None and "schedule" in sparsifier:
        instantiate(sparsifier.schedule).plan(int(steps), config.sparsity if fraction is None else fraction)

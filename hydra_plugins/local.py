"""The launcher of this machine: every job is a process of its own, on accelerators of its own."""

from typing import final

from hydra_plugins.launching import SweepLauncher
from runs.local_pool import LocalPool
from runs.pool import Pool


@final
class Local(SweepLauncher):
    """Runs jobs on this machine, as many at once as its accelerators allow.

    Args:
        per_device: jobs that share an accelerator.
        at_once: most jobs at once; null = as the accelerators allow, or one where there are none.
        retries, dry_run: see `SweepLauncher`.
    """

    def __init__(
        self, per_device: int = 1, at_once: int | None = None, retries: int = 0, dry_run: bool = False
    ) -> None:
        super().__init__(retries, dry_run)
        self.per_device = per_device
        self.at_once = at_once

    def pool(self) -> Pool:
        return LocalPool(self.per_device, self.at_once)

"""Optimizer and learning-rate schedule: which parameters decay, and how the rate rises and falls over the run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from transformers import (
    get_constant_schedule_with_warmup,
    get_linear_schedule_with_warmup,
    get_polynomial_decay_schedule_with_warmup,
)


@final
@dataclass(frozen=True)
class Optim:
    """How a network is optimized.

    Args:
        optimizer: makes the optimizer from parameter groups; its weight decay is that of the weight matrices.
        schedule: makes the schedule from the optimizer and the number of optimizer steps of the run.
        decay_biases_and_norms: whether biases and LayerNorms decay as well (fairseq decays everything).
    """

    optimizer: Callable[[list[dict[str, Any]]], Optimizer]
    schedule: Callable[[Optimizer, int], LRScheduler]
    decay_biases_and_norms: bool = False

    def build(self, network: nn.Module, steps: int) -> tuple[Optimizer, LRScheduler]:
        """Optimizer over the trainable parameters of `network`, and its schedule over `steps` optimizer steps.

        Raises:
            ValueError: nothing is trainable, or the optimizer refuses its arguments.
        """
        groups = parameter_groups(network, self.decay_biases_and_norms)
        try:
            optimizer = self.optimizer(groups)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ValueError(f"optim.optimizer cannot be made ({reason}); correct what it is given") from error
        return optimizer, self.schedule(optimizer, steps)


def parameter_groups(network: nn.Module, decay_biases_and_norms: bool) -> list[dict[str, Any]]:
    """The trainable parameters: all in one group, or biases and LayerNorms in a second one without weight decay.

    Raises:
        ValueError: nothing is trainable.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("no parameter of the network is trainable; choose another tuning")
    if decay_biases_and_norms:
        return [{"params": trainable}]
    # Biases and the gains of LayerNorms are the parameters with one dimension.
    matrices = [parameter for parameter in trainable if parameter.ndim > 1]
    vectors = [parameter for parameter in trainable if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def linear(optimizer: Optimizer, steps: int, warmup: float) -> LRScheduler:
    """Rises linearly over the fraction `warmup` of the steps, then falls linearly to 0 at the last.

    Raises:
        ValueError: `warmup` is not within 0 and 1.
    """
    schedule: LRScheduler = get_linear_schedule_with_warmup(optimizer, _warmup_steps(steps, warmup), steps)
    return schedule


def constant(optimizer: Optimizer, steps: int, warmup: float = 0.0) -> LRScheduler:
    """Rises linearly over the fraction `warmup` of the steps, then stays.

    Raises:
        ValueError: `warmup` is not within 0 and 1.
    """
    schedule: LRScheduler = get_constant_schedule_with_warmup(optimizer, _warmup_steps(steps, warmup))
    return schedule


def polynomial(optimizer: Optimizer, steps: int, warmup: float, power: float = 1.0, end: float = 0.0) -> LRScheduler:
    """Rises linearly over the fraction `warmup`, then falls as `(1 - progress) ** power` to the learning rate `end`.

    Raises:
        ValueError: `warmup` is not within 0 and 1, or `power` is not positive.
    """
    if power <= 0:
        raise ValueError(f"optim.schedule.power={power} must be positive")
    schedule: LRScheduler = get_polynomial_decay_schedule_with_warmup(
        optimizer, _warmup_steps(steps, warmup), steps, lr_end=end, power=power
    )
    return schedule


def rewinding(optimizer: Optimizer, steps: int, warmup: float, cycles: int, end: float = 0.0) -> LRScheduler:
    """Rises linearly over the fraction `warmup`, then falls linearly in `cycles` equal cycles, each from the full rate.

    With gradual pruning, so that what a later cut destroys can be learned again (Kurtic & Alistarh 2022,
    arXiv 2210.06384, section 3).

    Args:
        end: share of the full rate that each cycle falls to; the rate of the next step is full again.

    Raises:
        ValueError: a fraction is not within 0 and 1, or a cycle would have no step.
    """
    warm = _warmup_steps(steps, warmup)
    most = max(1, steps - warm)
    if not 1 <= cycles <= most:
        raise ValueError(
            f"optim.schedule.cycles={cycles} must be at least 1 and at most {most}, the steps after warm-up"
        )
    if not 0.0 <= end <= 1.0:
        raise ValueError(f"optim.schedule.end={end} is not a share of the learning rate between 0 and 1")

    def rate(step: int) -> float:
        if step < warm:
            return step / warm
        if step >= steps:
            return end
        progress = (step - warm) * cycles / (steps - warm)
        return 1 - (1 - end) * (progress % 1)

    return LambdaLR(optimizer, rate)


def one_cycle(
    optimizer: Optimizer,
    steps: int,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
    base_momentum: float,
    max_momentum: float,
    anneal_strategy: str = "linear",
) -> LRScheduler:
    """One cycle (Smith & Topin 2017, arXiv 1708.07120): rises to the learning rate of the optimizer and falls far below
    where it began, while the momentum, of Adam beta 1, falls and rises; torch's OneCycleLR.

    Args:
        pct_start: share of the steps that it rises.
        div_factor: the peak divided by the first learning rate.
        final_div_factor: the first learning rate divided by the last.

    Raises:
        ValueError: a phase has no step, or torch refuses an argument.
    """
    if steps == 0:
        return LambdaLR(optimizer, lambda _: 1.0)  # nothing is trained
    if not 1 < pct_start * steps < steps:
        raise ValueError(
            f"optim.schedule.pct_start={pct_start} must leave both phases of a cycle of {steps} steps more than one"
            f" step; raise steps or move it towards 0.5"
        )
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,  # type: ignore[arg-type]
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        base_momentum=base_momentum,
        max_momentum=max_momentum,
    )


def rising(optimizer: Optimizer, steps: int, start: float) -> LRScheduler:
    """Rises linearly from the learning rate `start` at the first step to that of the optimizer at the last.

    A range test (Smith 2015, arXiv 1506.01186, section 3.3): the loss says how high a learning rate may be.

    Raises:
        ValueError: `start` is not positive or not below the optimizer's learning rate.
    """
    (peak,) = {group["lr"] for group in optimizer.param_groups}
    if not 0 < start < peak:
        raise ValueError(f"optim.schedule.start={start} must be positive and below lr={peak}, where the test ends")
    return LambdaLR(optimizer, lambda step: (start + (peak - start) * step / max(1, steps - 1)) / peak)


def _warmup_steps(steps: int, warmup: float) -> int:
    """A fraction of the steps, or a whole number of them where it is above 1, as some recipes say it."""
    if not (0.0 <= warmup <= 1.0 or (warmup > 1 and float(warmup).is_integer())):
        raise ValueError(
            f"optim.schedule.warmup={warmup} is neither a fraction of the steps between 0 and 1 nor a number of steps"
        )
    return round(warmup * steps) if warmup <= 1 else int(warmup)

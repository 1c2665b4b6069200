"""Trains a module under a sparsifier and evaluates it: the one place where Lightning is put together."""

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger

from callbacks.best_checkpoint import BestCheckpoint
from callbacks.checkpoint_file import AtomicCheckpointIO, load
from callbacks.collapse import Collapse
from callbacks.flops import Flops
from callbacks.inherited_zeros import InheritedZeros
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.layer_view import LayerView
from callbacks.loggers import Dashboard, end
from callbacks.progress_bar import SparsityProgressBar
from callbacks.ranks import OwnSignals, environment, lost
from callbacks.record import Record
from callbacks.sparsifier import Sparsifier
from callbacks.trained import trained
from sparsity.ledger import trainable

log = logging.getLogger(__name__)

VALIDATIONS = 10
LOG_EVERY = 10


def fit(
    trainer: Callable[..., Trainer],
    module: LightningModule,
    sparsifier: Sparsifier,
    folder: Path,
    *,
    loggers: Sequence[Logger] = (),
    weights: Path | str | None = None,
    resume: Path | str | None = None,
    stop_step: int | None = None,
    checkpoint_every: float = 30.0,
    validations: int | None = None,
    trial: Callback | None = None,
    collapse: int | None = None,
    begin: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains for `module.steps` steps as one Lightning epoch, validating now and then, and evaluates on every split.

    Returns the numbers of the result and the ledger.

    Args:
        trainer: Lightning's Trainer with the device, the precision and the like already given.
        folder: where `checkpoints/` goes.
        weights: checkpoint of a run whose final weights are the initial ones here.
        resume: checkpoint of the training state to go on from.
        stop_step: end training after this step of the schedule.
        checkpoint_every: seconds between two saves of the training state.
        validations: how many there are in the run; None = ten, or fewer if they would cost more than the training.
        trial: tells a search how the run does, if it is one of its trials.
        collapse: end training after so many validations in a row at chance level; None = never.
        begin: called when everything that was asked for has been found possible and training begins.
    """
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    subject, checkpoints = trained(module), folder / "checkpoints"
    steps = subject.steps
    if weights is not None and resume is None:
        # A loss may have parameters of its own, which are not those of the other run's.
        rest = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith("network.")}
        theirs = load(Path(weights))["state_dict"].items()
        module.load_state_dict({**rest, **{name: tensor for name, tensor in theirs if name.startswith("network.")}})
    # What another run did until the state that this one starts from is not this one's work.
    own = resume is None or Path(resume).is_relative_to(folder)
    if steps == 0 and weights is None and resume is None and subject.untrained:
        log.warning("nothing has been trained of %s: evaluated is what chance gave", ", ".join(subject.untrained))
    # Whole steps, so that a validation never comes between two micro-batches of one.
    interval = (
        validation_interval(steps, subject.batch_size, subject.validation_examples)
        if validations is None
        else max(1, math.ceil(steps / validations))
    )
    zeros = InheritedZeros(sparsifier)
    record, flops = Record(sparsifier, begin, own), Flops(sparsifier, zeros, own)
    best = BestCheckpoint(checkpoints / "best.ckpt", subject.monitor, subject.higher_is_better, sparsifier)
    dashboards = [logger for logger in loggers if isinstance(logger, Dashboard)]
    collapsing = _collapse(collapse, module, sparsifier, own)
    numbers: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    try:
        try:
            built = trainer(
                accumulate_grad_batches=subject.accumulate,
                max_epochs=1,
                max_steps=steps if stop_step is None else stop_step,
                log_every_n_steps=max(1, min(LOG_EVERY, steps, LOG_EVERY if validations is None else interval)),
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                logger=list(loggers),
                plugins=[AtomicCheckpointIO(), environment()],
                callbacks=[
                    OwnSignals(),
                    sparsifier,
                    zeros,
                    record,
                    flops,
                    *([collapsing] if collapsing else []),
                    *([LayerView(sparsifier, dashboards)] if dashboards else []),
                    LastCheckpoint(checkpoints / "last.ckpt", checkpoint_every),
                    SparsityProgressBar(sparsifier, zeros),
                    *([] if trial is None else [trial]),
                    # Where another run goes on from here, the best so far would be taken for one of its own.
                    *([best] if stop_step is None else []),
                ],
            )
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise ValueError(
                f"the trainer cannot be made ({error}); trainer=gpu needs a GPU, trainer=cpu does not"
            ) from error
        built.val_check_interval = interval * subject.accumulate
        with warnings.catch_warnings():
            if steps == 0:  # Lightning finds that odd; evaluating what a pruning leaves is not
                warnings.filterwarnings("ignore", message=".*`max_steps=0`")
                warnings.filterwarnings("ignore", message="Total length of .* across ranks is zero")
            warnings.filterwarnings("ignore", message=".*LeafSpec")  # of Lightning's own doing
            try:
                built.fit(module, ckpt_path=resume, weights_only=True)
                collapsed = collapsing is not None and collapsing.happened
                if stop_step is None and not ((record.steps == steps or collapsed) and sparsifier.settled):
                    raise RuntimeError(f"stopped at step {record.steps} of {steps}, sparsity {sparsifier.sparsity:.4f}")
                if subject.validation_examples and record.validated_at != record.steps:
                    kept = built.loggers
                    built.loggers = [] if record.logged_at == record.steps else kept  # else it would be logged twice
                    built.validate(module, verbose=False)
                    built.loggers = kept
                if subject.tested:
                    built.test(module, verbose=False)
            except SystemExit:  # what Lightning makes of SIGTERM, with exit code 0, and of Ctrl-C
                raise KeyboardInterrupt from None
            except RuntimeError as error:
                if lost(error):  # the rank that is gone says why, or was killed
                    raise KeyboardInterrupt from None
                raise
        for name, value in record.metrics.items():
            # A metric may be undefined, as the correlation with what is constant; a loss never is.
            if math.isinf(value) or (math.isnan(value) and name.endswith("/loss")):
                raise RuntimeError(f"training diverged: {name} is {value}")
        counts = sparsifier.ledger(module, zeros.masks)
        counts["trainable"] = trainable(subject.network, subject.head, counts, sparsifier.frozen)
        for line in counts["tensors"]:  # as in the saved model, where what a tuning has added is merged
            line["name"] = line["name"].replace(".base_layer.", ".")
        counts["empty"] = [name.replace(".base_layer.", ".") for name in counts["empty"]]
        counts["flops"] = flops.result(built)
        ended = {"collapsed": {"step": record.steps}} if collapsed else {}
        numbers = record.result(counts) | {"best": best.best} | ended
    finally:
        end(loggers, numbers, counts)
    return numbers, counts


def validation_interval(steps: int, batch_size: int, validation_examples: int) -> int:
    """Steps between two validations: ten in a run, or fewer if they would cost more than the training between them."""
    most_often = max(math.ceil(steps / VALIDATIONS), math.ceil(validation_examples / batch_size))
    return max(1, min(most_often, steps))


def _collapse(validations: int | None, module: LightningModule, sparsifier: Sparsifier, own: bool) -> Collapse | None:
    """The callback that ends a collapsed run, where that is asked for.

    Raises:
        ValueError: it is not known what guessing comes to.
    """
    if validations is None or trained(module).steps == 0:
        return None
    monitor, chance = trained(module).monitor, trained(module).chance()
    if chance is None:
        raise ValueError(f"collapse={validations} needs a metric with a chance level, which {monitor} is not; use null")
    return Collapse(validations, monitor, chance, sparsifier, own)

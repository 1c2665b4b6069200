"""The typed schema of a composed config: which keys a run has, their types and ranges.

A group file is a constructor call (see :mod:`runs.calls`); the two groups that are more than one call, task and method,
have a schema of their own. Everything here raises ``ValueError`` with one sentence that names the key.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf

from runs.calls import check_calls
from runs.nearest import nearest
from runs.plan import check_plan
from runs.values import Call, check_value


@dataclass(frozen=True)
class TaskSettings:
    """`task`: what is learned."""

    name: str
    data: Call
    module: Call
    data_dir: str | None = None


@dataclass(frozen=True)
class MethodSettings:
    """`method`: where a run starts and what decides its masks."""

    name: str
    start: Call
    sparsifier: Call
    retrain_steps: int | None = None


@dataclass(frozen=True)
class Settings:
    """The top level of a config."""

    task: TaskSettings
    model: Call
    method: MethodSettings
    budget: Call
    scope: Call
    distribution: Call
    pattern: Call
    sparsity_of: Call
    moments: Call
    optim: Call
    loss: Call
    tuning: Call
    trainer: Call
    logger: Call
    ood: dict  # type: ignore[type-arg]  # of calls, by name; the types of its keys are not checked here
    sparsity: float
    seed: int
    lr: float
    batch_size: int
    steps: int | None
    epochs: float | None
    stop_step: int | None
    checkpoint_every: float
    validations: int | None
    halve_on_oom: bool
    collapse: int | None
    root: str
    trial: Call | None


RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "sparsity": (lambda v: 0 <= v < 1, "must be at least 0 and below 1"),
    "seed": (lambda v: 0 <= v < 2**32, "must be between 0 and 2**32 - 1"),
    "lr": (lambda v: 0 < v < math.inf, "must be positive"),
    "batch_size": (lambda v: v >= 1, "must be at least 1"),
    "steps": (lambda v: v >= 0, "must be at least 0"),
    "epochs": (lambda v: 0 < v < math.inf, "must be positive"),
    "stop_step": (lambda v: v >= 1, "must be at least 1"),
    "checkpoint_every": (lambda v: v >= 0, "must be at least 0 seconds"),
    "validations": (lambda v: v >= 1, "must be at least 1"),
    "collapse": (lambda v: v >= 1, "must be at least 1 validation, or null for never"),
    "root": (lambda v: v != "", "must name a folder"),
    "method.retrain_steps": (lambda v: v >= 0, "must be at least 0"),
    "trainer.accumulate_grad_batches": (lambda v: type(v) is int and v >= 1, "must be a whole number, at least 1"),
    "trainer.gradient_clip_val": (
        lambda v: type(v) in (int, float) and 0 < v < math.inf,
        "must be a positive number, or null for no clipping",
    ),
}
ROLES = {"ticket"}  # what a method starts from is known when that run is there
LESSONS = {"teacher"}  # and whom a loss learns from

ENDS = "a run ends with steps, epochs or stop_step"
SHOWN = "metrics.csv and the logger group show the curves"
KEPT = "the run folder keeps what is needed"
WHOLE = "a run evaluates whole splits"
RANKS = "several devices train by ddp, each on its share of every batch"
OURS_TO_SET = {
    **dict.fromkeys(("max_steps", "min_steps", "max_epochs", "min_epochs", "max_time", "fast_dev_run"), ENDS),
    **dict.fromkeys(("limit_train_batches", "overfit_batches", "reload_dataloaders_every_n_epochs"), ENDS),
    **dict.fromkeys(("limit_val_batches", "limit_test_batches", "limit_predict_batches"), WHOLE),
    **dict.fromkeys(
        ("val_check_interval", "check_val_every_n_epoch", "num_sanity_val_steps"), "validation is arranged"
    ),
    **dict.fromkeys(("logger", "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "barebones"), SHOWN),
    **dict.fromkeys(("callbacks", "plugins", "enable_checkpointing", "default_root_dir"), KEPT),
    **dict.fromkeys(("strategy", "use_distributed_sampler"), RANKS),
}


def check(config: DictConfig, typed: Sequence[str] = ()) -> None:
    """Checks a composed config, importing no torch, and settles whether steps or epochs end the run.

    Args:
        typed: the overrides of the command line.

    Raises:
        ValueError: a key is unknown or missing, a value has the wrong type or is out of range, or a ``_target_`` of
            ours is not called as its signature says.
    """
    settle_length(config, typed)
    settle_model(config)
    if any(map(OmegaConf.is_dict, config.ood.values())) and "labels" not in config.task.module:
        raise ValueError(
            f"ood={','.join(config.ood)} needs a task with named classes; task={config.task.name} has none"
        )
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    _check_keys(resolved, Settings, "")
    for key, (holds, rule) in RANGES.items():
        value: Any = resolved
        for part in key.split("."):
            value = value.get(part) if value is not None else None
        if value is not None and not holds(value):
            raise ValueError(f"{key}={value} {rule}")
    if (resolved["steps"] is None) == (resolved["epochs"] is None):
        raise ValueError("give either steps=<optimizer steps> or epochs=<passes over the training data>")
    for key in sorted(resolved["trainer"].keys() & OURS_TO_SET):
        raise ValueError(f"trainer.{key} is not yours to set: {OURS_TO_SET[key]}")
    for key in ("devices", "num_nodes"):
        check_value(f"trainer.{key}", number := resolved["trainer"].get(key, 1), (int,))
        if number < 1:
            raise ValueError(f"trainer.{key}={number} must be at least 1")
        if number > 1 and resolved["halve_on_oom"]:
            raise ValueError(f"halve_on_oom=true needs trainer.{key}=1: the others would wait for who is out of memory")
    for name, node in resolved["ood"].items():
        check_value(f"ood.{name}", node, (Call,))
    precision = resolved["trainer"].get("precision")
    if str(precision) in ("16", "16-mixed", "16-true"):
        raise ValueError(f"trainer.precision={precision} hides the scale of gradients; use bf16-mixed or 32-true")
    if resolved["budget"].get("sparsity") != resolved["sparsity"]:
        raise ValueError(f"budget.sparsity is sparsity: write sparsity={resolved['budget'].get('sparsity')}")
    moments, method = resolved["moments"]["_target_"].rpartition(".")[2].lower(), resolved["method"]
    if moments != "zero" and "moments" not in method["sparsifier"] and method["name"] != "dense":
        raise ValueError(
            f"moments={moments} has no effect on method={method['name']}, where the weights that the optimizer moves"
            " stay the same; use moments=zero, also behind a compat= that sets another"
        )
    data_dir = resolved["task"].get("data_dir")
    read = resolved["task"]["data"].get("data_dir", data_dir)
    if read != data_dir:
        raise ValueError(f"task.data.data_dir is task.data_dir: write task.data_dir={read}")
    if data_dir is not None and data_dir not in resolved["task"]["data"].values():
        raise ValueError(f"task.data_dir={data_dir}: the task '{resolved['task']['name']}' reads no files")
    # What a budget holds and a method holds of it has a key of its own, under which it is found first.
    check_calls(dict(sorted(resolved.items(), key=lambda item: item[0] in ("budget", "method"))), given=ROLES | LESSONS)
    check_plan(config)


def settle_length(config: DictConfig, typed: Sequence[str]) -> None:
    """Lets the length that the user typed, steps or epochs, replace the other one, which a task or experiment set.

    Args:
        typed: the overrides of the command line.

    Raises:
        ValueError: both were typed.
    """
    lengths = [key for key in ("steps", "epochs") if any(o.lstrip("+").split("=")[0] == key for o in typed)]
    if len(lengths) == 2 and config.steps is not None and config.epochs is not None:
        raise ValueError("steps and epochs are two ways to say one thing: give one of them")
    if lengths == ["steps"]:
        config.epochs = None
    elif lengths == ["epochs"]:
        config.steps = None


def settle_model(config: DictConfig) -> None:
    """Lets the folder of a run stand for the model in it, also as a teacher."""
    for node, key in ((config.model, "name"), (config.loss, "teacher")):
        name = OmegaConf.to_container(node).get(key)  # type: ignore[union-attr]  # missing where not yet given
        folder = Path(str(name)).expanduser()
        if (folder / "model" / "config.json").is_file() and not (folder / "config.json").exists():
            node[key] = str(folder / "model")


def training_steps(config: DictConfig, examples: int) -> int:
    """Returns the optimizer steps of a run whose task has so many training examples.

    Raises:
        ValueError: `stop_step`, or a lottery ticket's `rewind_step`, is not below them.
    """
    if config.method.get("retrain_steps") is not None:
        steps = int(config.method.retrain_steps)
    elif config.steps is not None:
        steps = int(config.steps)
    else:
        if examples == 0:
            raise ValueError(
                f"epochs={config.epochs} needs the split 'train', which the data of the task does not have"
            )
        steps = math.ceil(float(config.epochs) * examples / int(config.batch_size))
    if config.stop_step is not None and config.stop_step >= steps:
        raise ValueError(f"stop_step={config.stop_step} (or rewind_step) must be below the run's {steps} steps")
    return steps


def _check_keys(node: Mapping[str, Any], schema: type, prefix: str) -> None:
    known = {field.name: field for field in fields(schema)}
    for key in node:
        if key not in known:
            raise ValueError(f"unknown key '{prefix}{key}'{nearest(key, known)}")
    for key, field in known.items():
        if key not in node:
            if field.default is MISSING:
                raise ValueError(f"'{prefix}{key}' is missing")
        else:
            _check_type(prefix + key, node[key], field.type)


def _check_type(key: str, value: Any, kind: Any) -> None:
    if kind in (TaskSettings, MethodSettings):
        if not isinstance(value, Mapping):
            raise ValueError(f"'{key}' must be a group: {key}=<name of a file in conf/{key}>")
        _check_keys(value, kind, f"{key}.")
        return
    check_value(key, value, get_args(kind) or (kind,))

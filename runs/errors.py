"""What a user who made a mistake gets to read: one sentence."""

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import CompactHydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from runs.folder import TrainingError
from runs.nearest import nearest

TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"


@contextmanager
def sentences() -> Iterator[None]:
    """Ends a wrong command with one sentence and exit code 2, a failed training with its traceback and 1.

    With HYDRA_FULL_ERROR=1 every error shows its traceback.
    """
    if TRACEBACKS:
        yield
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print errors its own way
    try:
        yield
    except TrainingError as failure:
        traceback.print_exception(failure.__cause__)
        sys.exit(str(failure))
    except Exception as error:
        print(f"error: {one_sentence(error)}", file=sys.stderr)
        sys.exit(2)


def original_environment() -> dict[str, str]:
    """The environment as the user set it."""
    return {name: value for name, value in os.environ.items() if TRACEBACKS or name != "HYDRA_FULL_ERROR"}


def one_sentence(error: BaseException) -> str:
    """Returns what is wrong with a command, naming the key, file or line and the nearest valid choice."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        return one_sentence(error.__cause__)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={option} is not among the choices{nearest(option, error.options or ())}"
    cause = error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.parent_node is not None:
        key = str(cause.full_key or cause.key)
        return f"unknown key '{key}'{nearest(str(cause.key), map(str, cause.parent_node))}"
    if isinstance(error, MissingMandatoryValue):
        return f"'{error.full_key}' has no value: give {error.full_key}=<value>"
    if isinstance(error, OverrideParseException):
        return f"'{error.override}' is not an override; write key=value"
    if isinstance(error, CompactHydraException | OmegaConfBaseException):
        return " ".join(
            line.strip()
            for line in str(error).splitlines()
            if not re.match(r"\s*(full_key|object_type|reference)", line)
        )
    return " ".join(str(error).split()) or type(error).__name__

"""What a user who made a mistake gets to read: one sentence."""

import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from hydra.errors import CompactHydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from runs.folder import FAILED, TrainingError
from runs.locks import BusyError
from runs.nearest import nearest
from runs.process import TRACEBACKS, hold_lifeline
from runs.ranks import Ranks
from runs.settings import Settings

INTERRUPTED = 128 + signal.SIGINT
WRONG = 2  # a command that cannot be carried out
ON_PURPOSE = 3  # a training that something decided to end
BUSY = 4  # a job whose run another process trains

# What Hydra says of overrides that it cannot apply, and what the user wants to know.
OF_HYDRA = {
    r"Multiple values for (\S+)\. .*": r"\1 has its choice already; write \1=<choice> without +",
    r"force-add of config groups .*'\+\+(.*)'": r"++\1 is there already; write \1",
    r"Could not append to config\. An item is already at '(.*?)'.*": r"\1 is there already; write \1=<value> without +",
    r"Config group override must be .*": r"the choice of a group must be the name of one of its files; see --help",
    r"Ambiguous value for argument '([^=]*)=(.*?)' .*": r"\1=\2 is more than one value; sweep over them with -m",
}


@contextmanager
def sentences() -> Iterator[None]:
    """Ends a wrong command with one sentence and exit code 2, a failed training with its traceback and 1.

    Ctrl-C, SIGTERM and, of a job, the end of its sweep end with a sentence and 130. With HYDRA_FULL_ERROR=1 every error
    shows its traceback.
    """
    hold_lifeline()
    if TRACEBACKS:
        yield
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print errors its own way
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except TrainingError as failure:
        if getattr(failure.__cause__, "on_purpose", False):
            print(failure, file=sys.stderr)
            sys.exit(ON_PURPOSE)
        traceback.print_exception(failure.__cause__)
        sys.exit(str(failure))
    except BusyError as busy:
        print(busy, file=sys.stderr)
        sys.exit(BUSY)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        print(f"error: {one_sentence(error)}", file=sys.stderr)
        sys.exit(WRONG)


@contextmanager
def one_voice(ranks: Ranks) -> Iterator[Ranks]:
    """Lets the process that ends first say why; the others end without a word, with its exit code."""
    try:
        yield ranks
    except BaseException as error:
        failed = FAILED if isinstance(error, TrainingError) else WRONG
        code = ranks.end(INTERRUPTED if isinstance(error, KeyboardInterrupt) else failed)
        if code is not None:
            raise SystemExit(code) from None
        raise
    ranks.part()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def one_sentence(error: BaseException) -> str:
    """Returns what is wrong with a command, naming the key, file or line and the nearest valid choice."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        return _with_full_key(one_sentence(error.__cause__), str(error))
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
        key, equals, value = str(error.override).partition("=")
        remedy = f"""quote its value: '{key}="{value}"'""" if equals and value else "write key=value"
        return f"'{error.override}' is not an override; {remedy}"
    if isinstance(error, CompactHydraException | OmegaConfBaseException):
        lines = (line.strip() for line in str(error).splitlines())
        text = " ".join(line for line in lines if not re.match(r"(full_key|object_type|reference)", line))
        if missing := re.fullmatch(r"Could not delete from config\. '(.*)' does not exist\.", text):
            known = () if "." in missing[1] else (field.name for field in fields(Settings))
            return f"unknown key '{missing[1]}'{nearest(missing[1], known)}"
    else:
        text = " ".join(str(error).split()) or type(error).__name__
    for pattern, sentence in OF_HYDRA.items():
        if re.fullmatch(pattern, text):
            return re.sub(pattern, sentence, text)
    return text


def _with_full_key(sentence: str, instantiation: str) -> str:
    """Puts the place of a nested call before a sentence that begins with a key of it: schedule.every=0 ..."""
    full = re.search(r"full_key: (method\.(?!\S*budget)\S+)", instantiation)
    owner = full[1].rpartition(".")[2] if full else None
    return f"{full[1].rpartition('.')[0]}.{sentence}" if full and sentence.startswith(f"{owner}.") else sentence

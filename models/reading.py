"""Reads what transformers reads, quietly; whatever goes wrong becomes one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from models.hub import offline_if_unreachable

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model")
UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, EOFError, SafetensorError)


@contextmanager
def reading(name: str, local: bool, part: str, key: str = "name") -> Iterator[None]:
    """Inside, a part of the model `name` is read quietly and, where there is no network, at once.

    Args:
        local: whether the name is that of a folder.
        key: of the model group, where it can be corrected.

    Raises:
        ValueError: whatever goes wrong inside.
    """
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if local:
        logging.disable_progress_bar()
    with nullcontext(False) if local else offline_if_unreachable() as offline:
        try:
            yield
        except UNREADABLE as error:
            if offline and isinstance(error, OSError):
                raise ValueError(
                    f"model '{name}' is not in the local cache and the hub cannot be reached; connect, or pass"
                    f" model.{key}=<local folder>"
                ) from error
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"model '{name}': its {part} cannot be read ({reason})") from error
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()


def fast_tokenizer(name: str, local: bool, key: str = "name") -> PreTrainedTokenizerBase:
    """A fast tokenizer.

    Raises:
        ValueError: it cannot be read, or has no vocabulary.
    """
    with reading(name, local, "tokenizer", key):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, use_fast=True)
    # Without vocabulary files transformers silently makes a tokenizer that knows its special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ValueError(f"model '{name}' has a tokenizer without vocabulary; add {' or '.join(VOCABULARIES)}")
    return tokenizer

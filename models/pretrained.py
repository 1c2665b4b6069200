"""A pretrained BERT or RoBERTa from a local folder or the hub; whatever does not fit is refused in one sentence."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, final

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from models.heads import check_dropout, set_dropout
from models.pooling import Pooling
from models.reading import VOCABULARIES, fast_tokenizer, reading
from models.saving import attach

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


@final
class Pretrained:
    """Network and tokenizer of a pretrained model, in float32 whatever the file holds.

    Args:
        name: a local folder as `save_pretrained` writes it, or a name on the hub.
        dropout: of hidden states and attention; None keeps the model's own.
        head_dropout: before the classifier; None keeps the model's own.
        head_init: draws the weights of one layer anew. It is applied to each layer of a new head: the classifier and,
            for RoBERTa, the pooler, which its pretraining does not use. None leaves the initialisation of transformers.
        pooling: PETL's head instead of transformers' own, which is None.

    Raises:
        FileNotFoundError: `name` is a path, and the folder or a file in it is missing.
        ValueError: a dropout is not a probability below 1.
    """

    def __init__(
        self,
        name: str,
        dropout: float | None = None,
        head_dropout: float | None = None,
        head_init: Callable[[nn.Module], None] | None = None,
        pooling: Pooling | None = None,
    ) -> None:
        for key, probability in {"dropout": dropout, "head_dropout": head_dropout}.items():
            if probability is not None:
                check_dropout(f"model.{key}", probability)
        path = Path(name).expanduser()
        self.name = str(path) if path.is_dir() else name
        self.local = path.is_dir()
        self.dropout = dropout
        self.head_dropout = head_dropout
        self.head_init = head_init
        self.pooling = pooling
        if self.local:
            _check_folder(path)
        elif name.startswith(("/", ".", "~")) or name.count("/") > 1:
            raise FileNotFoundError(f"model.name={name} is not a folder; pass a model's folder or its name on the hub")

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's fast tokenizer.

        Raises:
            ValueError: it cannot be read, or has no vocabulary.
        """
        return fast_tokenizer(self.name, self.local)

    def build(self, auto_class: Any, **config: Any) -> PreTrainedModel:
        """The network with the head of `auto_class`, one of transformers' AutoModelFor classes.

        `config` overrides entries of the model's config. New weights come from torch's global generator; the layers
        that have any are named in the network's attribute `untrained`.

        Raises:
            ValueError: the model cannot be read, is neither BERT nor RoBERTa, its encoder weights do not fit, or it
                was trained on the same classes in another order.
        """
        network, missing = self._load(auto_class, self._dropouts() | config)
        if self.pooling is not None:
            missing |= self.pooling.renew(network)
        network.untrained = sorted({key.rpartition(".")[0] for key in missing})  # type: ignore[assignment]
        if self.head_init is not None:
            for layer in new_head(network, missing):
                self.head_init(layer)
        if self.head_dropout is not None:
            set_dropout(network, self.head_dropout)
        trained: PreTrainedModel = network.train()
        return trained

    def complete(self, auto_class: Any) -> PreTrainedModel:
        """The network as it was saved, in evaluation mode; no weight is new.

        Raises:
            ValueError: as `build`, and if its head is not that of `auto_class`.
        """
        network, missing = self._load(auto_class, {})
        if new := sorted(missing):
            raise ValueError(
                f"model '{self.name}' has no trained {new[0].rpartition('.')[0]}; name one trained for the task"
            )
        evaluated: PreTrainedModel = network.eval()
        return evaluated

    def _load(self, auto_class: Any, config: dict[str, Any]) -> tuple[PreTrainedModel, set[str]]:
        """The network, and the names of its weights that are new."""
        with self._reading("config"):
            settings = AutoConfig.from_pretrained(self.name)
        if settings.model_type not in FAMILIES:
            raise ValueError(
                f"model '{self.name}' is of the type {settings.model_type}; supported are {', '.join(FAMILIES)}"
            )
        _check_order(self.name, settings.label2id, config.get("label2id", {}))
        for key, value in config.items():
            setattr(settings, key, value)
        with self._reading("weights"):
            network, report = auto_class.from_pretrained(
                self.name,
                config=settings,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
            added = attach(network, self.name)
        missing = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
        self._check_encoder(network, missing, set(report["unexpected_keys"]) - added)
        return network, missing

    def _dropouts(self) -> dict[str, float]:
        dropouts: dict[str, float] = {}
        if self.dropout is not None:
            dropouts |= {"hidden_dropout_prob": self.dropout, "attention_probs_dropout_prob": self.dropout}
        if self.head_dropout is not None:
            dropouts |= {"classifier_dropout": self.head_dropout}
        return dropouts

    def _check_encoder(self, network: PreTrainedModel, missing: set[str], unexpected: set[str]) -> None:
        for problem, keys in (("lacks or has in another shape", missing), ("has in excess", unexpected)):
            encoder = sorted(key for key in keys if _of_encoder(key, network.base_model_prefix))
            if encoder:
                raise ValueError(
                    f"model '{self.name}' {problem} {len(encoder)} encoder weights ({encoder[0]} first):"
                    f" its config.json does not describe its weights"
                )

    def _reading(self, part: str) -> AbstractContextManager[None]:
        return reading(self.name, self.local, part)


def new_head(network: PreTrainedModel, missing: set[str]) -> list[nn.Module]:
    """The layers of the head that the checkpoint does not have.

    RoBERTa's pooler counts as new whenever the classifier is: some of its checkpoints carry one that was never trained.
    """
    prefix = f"{network.base_model_prefix}."
    if all(key.startswith(prefix) for key in missing):
        return []
    owners = {key.rpartition(".")[0] for key in missing}
    pooler = f"{prefix}pooler.dense"
    if network.config.model_type != "bert":
        owners.add(pooler)
    return [module for name, module in network.named_modules() if name in owners]


def _check_order(name: str, model: Mapping[str, int], task: Mapping[str, int]) -> None:
    if model.keys() == task.keys() and dict(model) != dict(task):
        order = ",".join(sorted(model, key=lambda label: model[label]))
        raise ValueError(
            f"model '{name}' was trained on the task's classes in another order: task.module.labels=[{order}]"
        )


def _of_encoder(key: str, prefix: str) -> bool:
    """Whether a weight belongs to embeddings or layers. Buffers of positions, which old files hold, do not count."""
    part = key.removeprefix(f"{prefix}.")
    return part.startswith(("embeddings.", "encoder.")) and not part.endswith("_ids")


def _check_folder(folder: Path) -> None:
    needed = {"config": ("config.json",), "weights": WEIGHTS, "tokenizer vocabulary": VOCABULARIES}
    for part, names in needed.items():
        if not any((folder / name).is_file() for name in names):
            raise FileNotFoundError(
                f"model.name={folder} is not a whole model: it has no {part} ({', '.join(names)}); pass a folder that"
                f" save_pretrained wrote for model and tokenizer"
            )

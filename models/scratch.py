"""A BERT with random weights, of any size, for the vocabulary of another model: what pretraining begins with."""

from pathlib import Path
from typing import Any, final

from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerBase

from models.reading import VOCABULARIES, fast_tokenizer
from models.sizes import bert_sizes


@final
class Scratch:
    """A BERT of these sizes; its weights come from torch's global generator.

    Args:
        name: for people.
        tokenizer: a local folder with a tokenizer, or the name on the hub of a model that has one.
        max_length: tokens that there are positions for.

    Raises:
        FileNotFoundError: `tokenizer` is a path, and the folder or its vocabulary is missing.
        ValueError: a size is below 1, the heads do not divide the hidden size, or dropout is no probability below 1.
    """

    def __init__(
        self,
        name: str,
        tokenizer: str,
        hidden_size: int,
        layers: int,
        heads: int,
        intermediate_size: int,
        max_length: int,
        dropout: float = 0.1,
    ) -> None:
        self.name = name
        self.sizes = bert_sizes(hidden_size, layers, heads, intermediate_size, dropout, max_length)
        self.max_length = max_length
        folder = Path(tokenizer).expanduser()
        self.local = folder.is_dir()
        self.vocabulary = str(folder) if self.local else tokenizer
        if not self.local and (tokenizer.startswith(("/", ".", "~")) or tokenizer.count("/") > 1):
            raise FileNotFoundError(f"model.tokenizer={tokenizer} is not a folder; pass one, or a name on the hub")
        if self.local and not any((folder / file).is_file() for file in VOCABULARIES):
            raise FileNotFoundError(f"model.tokenizer={folder} has no vocabulary; add {' or '.join(VOCABULARIES)}")

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The other model's fast tokenizer, for texts as long as this one takes.

        Raises:
            ValueError: it cannot be read, or has no vocabulary.
        """
        tokenizer = fast_tokenizer(self.vocabulary, self.local, key="tokenizer")
        tokenizer.model_max_length = self.max_length
        return tokenizer

    def build(self, auto_class: Any, **config: Any) -> PreTrainedModel:
        """A new network with the head of `auto_class`, one of transformers' AutoModelFor classes.

        `config` goes to BertConfig (for instance `num_labels=2`) and wins over this object's own sizes.
        """
        tokenizer = self.tokenizer()
        known = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        network: PreTrainedModel = auto_class.from_config(BertConfig(**known | self.sizes | config))
        return network

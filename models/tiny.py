"""A BERT small enough for a laptop, with random weights and a vocabulary spelled out in code: no file, no network."""

import string
from typing import Any, final

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerFast

from models.sizes import bert_sizes

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = """
    a about all also an and any are as at be because been but by can colour did do does each every for from
    had has have he her here him his how if in into is it its just kind like made many may me more most my
    name no none not nothing of on one only or other our out own owned owner place same she so some something
    stands such than that the their them then there these they thing things this those to too two up us use
    used very was we were what when where which while who whose why will with would you your
""".split()  # noqa: SIM905 - words read best as text
SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxyz" for vowel in "aeiou"]
CHARACTERS = [c for c in map(chr, range(33, 127)) if c not in string.ascii_uppercase]


def vocabulary() -> dict[str, int]:
    """Pieces and their ids: the special tokens, some English words, syllables and single characters.

    Characters stand both at a word's start and inside it (`##`), so every lower-cased ASCII text has a spelling.
    """
    parts = SYLLABLES + CHARACTERS
    pieces = [*SPECIAL, *WORDS, *parts, *(f"##{part}" for part in parts)]
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}


@final
class Tiny:
    """A BERT of any small size, built from nothing.

    Its weights come from torch's global generator, so whoever seeds that owns them.

    Raises:
        ValueError: a size is below 1, the heads do not divide the hidden size, or dropout is no probability below 1.
    """

    def __init__(
        self,
        name: str = "tiny",
        hidden_size: int = 64,
        layers: int = 2,
        heads: int = 4,
        intermediate_size: int = 128,
        dropout: float = 0.0,
        max_length: int = 64,
    ) -> None:
        self.name = name
        self.max_length = max_length
        self.sizes: dict[str, Any] = {
            **bert_sizes(hidden_size, layers, heads, intermediate_size, dropout, max_length),
            "initializer_range": 0.1,  # BERT's 0.02 leaves so narrow a network at chance
        }

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A lower-casing WordPiece tokenizer in BERT's format: `[CLS] first [SEP] second [SEP]`."""
        ids = vocabulary()
        backend = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=10**6))
        backend.normalizer = normalizers.BertNormalizer(lowercase=True)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
        backend.decoder = decoders.WordPiece()
        return PreTrainedTokenizerFast(
            tokenizer_object=backend,
            model_max_length=self.max_length,
            # Without this the wrapper drops token_type_ids, and BERT cannot tell the two texts apart.
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
            **dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)),
        )

    def build(self, auto_class: Any, **config: Any) -> PreTrainedModel:
        """A new network with the head of `auto_class`, one of transformers' AutoModelFor classes.

        `config` goes to BertConfig (for instance `num_labels=2`) and wins over this object's own sizes.
        """
        ids = vocabulary()
        known = {"vocab_size": len(ids), "pad_token_id": ids["[PAD]"]}
        network: PreTrainedModel = auto_class.from_config(BertConfig(**known | self.sizes | config))
        return network

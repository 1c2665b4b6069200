"""A BERT from scratch has the sizes that were asked for, and the vocabulary of the model whose tokenizer it takes."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertTokenizerFast

from models.scratch import Scratch
from models.tiny import SPECIAL, Tiny
from tests.conftest import composed

SIZES = {"hidden_size": 16, "layers": 2, "heads": 2, "intermediate_size": 32, "max_length": 24}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tokenizer")
    Tiny().tokenizer().save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def cased(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tokenizer with as many words as BERT's cased one."""
    path = tmp_path_factory.mktemp("cased")
    (path / "vocab.txt").write_text("\n".join([*SPECIAL, *(f"w{number}" for number in range(28_996 - len(SPECIAL)))]))
    BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    return str(path)


def test_sizes_and_vocabulary(folder: str, tmp_path: Path) -> None:
    model = Scratch("mine", folder, **SIZES, dropout=0.2)
    tokenizer, network = model.tokenizer(), model.build(AutoModelForMaskedLM)
    assert network.config.vocab_size == len(tokenizer) == len(Tiny().tokenizer())
    assert (network.config.num_hidden_layers, network.config.hidden_dropout_prob) == (2, 0.2)
    assert network.config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.model_max_length == network.config.max_position_embeddings == 24
    assert tokenizer("where is bako") == Tiny().tokenizer()("where is bako")
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).model_max_length == 24


def test_the_global_generator_decides_the_weights(folder: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return Scratch("mine", folder, **SIZES).build(AutoModelForMaskedLM).get_input_embeddings().weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("size", "encoder"), [("tiny", 4_124_928), ("mini", 10_615_808), ("small", 27_523_072), ("base", 107_719_680)]
)
def test_numentas_sizes(size: str, encoder: int, cased: str) -> None:
    model = instantiate(composed(f"model=scratch_{size}", f"model.tokenizer={cased}").model)
    with torch.device("meta"):
        network = model.build(AutoModelForMaskedLM)
    assert sum(weight.numel() for weight in network.base_model.parameters()) == encoder


def test_illegal_tokenizers(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.tokenizer=/nowhere is not a folder"):
        Scratch("mine", "/nowhere", **SIZES)
    with pytest.raises(FileNotFoundError, match=r"has no vocabulary; add tokenizer\.json or vocab\.txt"):
        Scratch("mine", str(tmp_path), **SIZES)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="its tokenizer cannot be read"):
        Scratch("mine", str(tmp_path), **SIZES).tokenizer()


def test_illegal_sizes() -> None:
    with pytest.raises(ValueError, match=r"model\.hidden_size=16 is not a multiple of model\.heads=3"):
        Scratch("mine", "x", **SIZES | {"heads": 3})

"""Pretrained models from folders: what is loaded, what is new, and one sentence for everything that does not fit."""

import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    BertForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    RobertaTokenizer,
)

from models.heads import linear_default, set_dropout
from models.hub import offline_if_unreachable, reachable
from models.pretrained import Pretrained
from models.tiny import Tiny

HIDDEN = 32
SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
VOCABULARY = {token: index for index, token in enumerate([*SPECIAL, *sorted(ByteLevel.alphabet())])}
HEADS = [AutoModelForMultipleChoice, AutoModelForSequenceClassification]


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model as RoBERTa is published: without pooler and classifier."""
    folder = tmp_path_factory.mktemp("roberta")
    torch.manual_seed(0)
    RobertaForMaskedLM(RobertaConfig(vocab_size=len(VOCABULARY), type_vocab_size=1, **SIZES)).save_pretrained(folder)
    RobertaTokenizer(vocab=VOCABULARY, merges=[]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    tiny = Tiny(hidden_size=HIDDEN, heads=2, intermediate_size=48)
    tiny.build(AutoModelForSequenceClassification).bert.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.hub.reachable", lambda: False)


def constant(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.constant_(parameter, 7.0)


def drawn(network: PreTrainedModel) -> set[str]:
    """Names of the layers that `constant` has drawn."""
    return {name.rpartition(".")[0] for name, tensor in network.state_dict().items() if tensor.float().eq(7).all()}


@pytest.mark.parametrize("auto_class", HEADS)
@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_encoder_weights_are_those_of_the_file(family: str, auto_class: Any, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(family)
    network = Pretrained(str(folder)).build(auto_class)
    plain = (RobertaForMaskedLM if family == "roberta" else BertForMaskedLM).from_pretrained(folder)
    encoder = {name: tensor for name, tensor in plain.base_model.state_dict().items() if "pooler" not in name}
    assert all(torch.equal(network.base_model.state_dict()[name], tensor) for name, tensor in encoder.items())
    assert len(encoder) > 30
    assert network.training
    if family == "bert":
        stored = AutoModelForSequenceClassification.from_pretrained(folder).bert.pooler.state_dict()
        pooler = network.bert.pooler.state_dict()
        assert all(torch.equal(pooler[name], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize(
    ("family", "auto_class", "layers"),
    [
        ("roberta", AutoModelForMultipleChoice, {"roberta.pooler.dense", "classifier"}),
        ("roberta", AutoModelForSequenceClassification, {"classifier.dense", "classifier.out_proj"}),
        ("bert", AutoModelForMultipleChoice, {"classifier"}),
        ("bert", AutoModelForSequenceClassification, {"classifier"}),
    ],
)
def test_the_new_layers_are_drawn(
    family: str, auto_class: Any, layers: set[str], request: pytest.FixtureRequest
) -> None:
    network = Pretrained(str(request.getfixturevalue(family)), head_init=constant).build(auto_class)
    assert drawn(network) == layers


def test_an_untrained_pooler_in_the_file_is_drawn_all_the_same(roberta: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(roberta, tmp_path / "model")
    RobertaModel.from_pretrained(roberta, add_pooling_layer=True).save_pretrained(folder)
    network = Pretrained(str(folder), head_init=constant).build(AutoModelForMultipleChoice)
    assert drawn(network) == {"roberta.pooler.dense", "classifier"}


def test_a_trained_head_in_the_file_stays(roberta: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(roberta, tmp_path / "model")
    trained = Pretrained(str(roberta)).build(AutoModelForMultipleChoice)
    trained.save_pretrained(folder)
    network = Pretrained(str(folder), head_init=constant).build(AutoModelForMultipleChoice)
    assert drawn(network) == set()
    assert torch.equal(network.classifier.weight, trained.classifier.weight)


def test_a_head_with_other_classes_is_new(bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bert, tmp_path / "model")
    Pretrained(str(bert)).build(AutoModelForSequenceClassification, num_labels=3).save_pretrained(folder)
    network = Pretrained(str(folder), head_init=constant).build(AutoModelForSequenceClassification, num_labels=2)
    assert drawn(network) == {"classifier"}
    assert network.classifier.weight.shape == (2, HIDDEN)


def test_linear_default_is_uniform_in_fan_in() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(HIDDEN, 4000)
    constant(layer)
    linear_default(layer)
    bound = HIDDEN**-0.5
    for parameter in layer.parameters():
        assert 0.98 * bound < parameter.abs().max().item() <= bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_linear_default_leaves_other_layers_alone() -> None:
    norm = nn.LayerNorm(4)
    constant(norm)
    linear_default(norm)
    assert norm.weight.eq(7).all()


def test_half_precision_files_become_float32(roberta: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(roberta, tmp_path / "model")
    RobertaForMaskedLM.from_pretrained(roberta).half().save_pretrained(folder)
    network = Pretrained(str(folder)).build(AutoModelForMultipleChoice)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_new_weights_are_a_function_of_the_seed(roberta: Path) -> None:
    def build(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return Pretrained(str(roberta), head_init=linear_default).build(AutoModelForMultipleChoice).classifier.weight

    assert torch.equal(build(1), build(1))
    assert not torch.equal(build(1), build(2))


@pytest.mark.parametrize("auto_class", HEADS)
@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_dropouts(family: str, auto_class: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model = Pretrained(str(request.getfixturevalue(family)), dropout=0.25, head_dropout=0.0)
    network = model.build(auto_class)
    prefix = network.base_model_prefix
    rates: dict[bool, set[float]] = {True: set(), False: set()}
    for name, module in network.named_modules():
        if isinstance(module, nn.Dropout):
            rates[name.startswith(prefix)].add(module.p)
    assert rates == {True: {0.25}, False: {0.0}}
    network.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["classifier_dropout"] == 0.0


@pytest.mark.parametrize("key", ["dropout", "head_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_illegal_dropout(key: str, value: float, roberta: Path) -> None:
    with pytest.raises(ValueError, match=rf"^model\.{key}={value} must be at least 0 and below 1$"):
        Pretrained(str(roberta), **{key: value})


def test_set_dropout_leaves_the_encoder_alone(roberta: Path) -> None:
    network = Pretrained(str(roberta)).build(AutoModelForMultipleChoice)
    set_dropout(network, 0.5)
    assert network.dropout.p == 0.5
    assert network.roberta.embeddings.dropout.p == 0.1


def test_config_overrides_and_names(roberta: Path) -> None:
    names = {0: "no", 1: "yes", 2: "perhaps"}
    network = Pretrained(str(roberta)).build(AutoModelForSequenceClassification, id2label=names)
    assert network.config.id2label == names
    assert network.classifier.out_proj.out_features == 3


def test_tokenizer(roberta: Path, bert: Path) -> None:
    assert Pretrained(str(roberta)).tokenizer()("a", "b")["input_ids"][:2] == [0, VOCABULARY["a"]]
    assert Pretrained(str(bert)).tokenizer()("ba", "ke") == Tiny().tokenizer()("ba", "ke")


def test_loading_says_nothing(
    roberta: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [caplog.handler])
    Pretrained(str(roberta)).build(AutoModelForMultipleChoice)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_home_is_expanded(roberta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(roberta.parent))
    assert Pretrained(f"~/{roberta.name}").name == str(roberta)


Change = Callable[[Path], object]


def config(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-999])


def empty_vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").touch()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"not a whole model: it has no config \(config.json\)"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"not a whole model: it has no weights \(model.safe"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "not a whole model: it has no tokenizer vocabulary"),
        (lambda folder: (folder / "config.json").write_text("{"), "its config cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "its weights cannot be read"),
        (truncate, "its weights cannot be read"),
        (config(model_type="gpt2"), "is of the type gpt2; supported are bert, roberta"),
        (config(model_type="nonsense"), "its config cannot be read"),
        (config(num_hidden_layers=3), "lacks or has in another shape 16 encoder weights"),
        (config(num_hidden_layers=1), "has in excess 16 encoder weights"),
        (config(intermediate_size=24), "lacks or has in another shape 6 encoder weights"),
    ],
)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_illegal_folder(
    family: str, change: Change, message: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = shutil.copytree(request.getfixturevalue(family), tmp_path / "model")
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        Pretrained(str(folder)).build(AutoModelForMultipleChoice)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (empty_vocabulary, "has a tokenizer without vocabulary"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "its tokenizer cannot be read"),
    ],
)
def test_illegal_tokenizer(change: Change, message: str, bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bert, tmp_path / "model")
    (folder / "tokenizer_config.json").unlink()
    change(folder)
    with pytest.raises(ValueError, match=message):
        Pretrained(str(folder)).tokenizer()


@pytest.mark.parametrize("name", ["/nowhere/model", "./model", "~/no-such-model", "a/b/c"])
def test_illegal_path(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"model.name={name} is not a folder"):
        Pretrained(name)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("part", [Pretrained.tokenizer, lambda model: model.build(AutoModelForMultipleChoice)])
def test_illegal_name_without_network(part: Callable[[Pretrained], object]) -> None:
    start = time.monotonic()
    with pytest.raises(
        ValueError, match="model 'no-one/no-model' is not in the local cache and the hub cannot be reac"
    ):
        part(Pretrained("no-one/no-model"))
    assert time.monotonic() - start < 10


@pytest.mark.usefixtures("no_network")
def test_offline_only_inside() -> None:
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    with offline_if_unreachable() as offline:
        assert offline
        assert constants.is_offline_mode()
    assert before == constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("no_network")
def test_a_library_with_a_switch_of_its_own_is_offline_until_the_end_of_an_error() -> None:
    library = SimpleNamespace(HF_HUB_OFFLINE=False)
    with pytest.raises(KeyError), offline_if_unreachable(library):  # noqa: PT012 - the state inside matters too
        assert library.HF_HUB_OFFLINE
        raise KeyError
    assert not library.HF_HUB_OFFLINE


def test_a_hub_that_does_not_answer_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def head(self, *_: Any, **__: Any) -> None:
            time.sleep(3)

    monkeypatch.setattr("models.hub.SECONDS", 0.1)
    monkeypatch.setattr("models.hub.get_session", Session)
    reachable.cache_clear()
    start = time.monotonic()
    assert not reachable()
    assert time.monotonic() - start < 2
    reachable.cache_clear()


@pytest.mark.usefixtures("no_network")
def test_cached_models_load_without_network(roberta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0" * 40
    cached = tmp_path / "models--some-one--some-model"
    shutil.copytree(roberta, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = Pretrained("some-one/some-model")
    assert len(model.tokenizer()) == len(VOCABULARY)
    assert model.build(AutoModelForMultipleChoice).config.hidden_size == HIDDEN

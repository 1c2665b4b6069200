"""What each tuning trains, what it computes, and that merging and saving change neither numbers nor zeros."""

from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from peft import LoraConfig, PrefixTuningConfig, get_peft_model, inject_adapter_in_model
from torch import nn
from torch.nn import functional
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    BertConfig,
    RobertaConfig,
)

from models.blocks import PARTS, head
from models.bottleneck import Bottleneck
from models.deltas import Deltas, Ia3, Lora, merge
from models.prefix import Prefix
from models.pretrained import Pretrained
from models.saving import save
from models.tiny import Tiny
from models.tuning import Full, Together, Tuning, Unfrozen
from tests.conftest import composed

SIZES: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
CONFIGS = {"bert": BertConfig(**SIZES, num_labels=3), "roberta": RobertaConfig(**SIZES, num_labels=3)}
MERGED = {
    "lora": Lora(2, 3, list(PARTS)),
    "ia3": Ia3(["key", "value", "output"]),
    "delta": Deltas(),
}
ADDED = {
    "sequential": Bottleneck("sequential", 2),
    "parallel": Bottleneck("parallel", 2),
    "attention": Bottleneck("attention", 2),
    "prefix": Prefix(2),
}
WITHIN = {
    "full": Full(),
    "layer": Unfrozen(),
    "ffn": Unfrozen(["intermediate", "output"]),
    "bitfit": Unfrozen(biases_only=True),
}
IDS = torch.randint(5, 100, (3, 9), generator=torch.Generator().manual_seed(1))
MASK = torch.ones_like(IDS)
MASK[0, 5:] = 0


def network(family: str = "bert", auto_class: Any = AutoModelForSequenceClassification, sparse: bool = False, **config):
    torch.manual_seed(0)
    made = auto_class.from_config(type(CONFIGS[family])(**CONFIGS[family].to_dict() | config)).eval()
    for name, weight in made.named_parameters():
        if sparse and ".layer." in name and weight.dim() == 2:
            weight.data[torch.rand_like(weight) < 0.6] = 0.0
    return made


@torch.no_grad()
def logits(of: nn.Module) -> torch.Tensor:
    shape = (1, *IDS.shape) if "MultipleChoice" in type(of).__name__ else IDS.shape
    return of(input_ids=IDS.view(shape), attention_mask=MASK.view(shape)).logits


def moved(of: nn.Module) -> nn.Module:
    """The network after some training of whatever is trained."""
    torch.manual_seed(2)
    for weight in of.parameters():
        if weight.requires_grad:
            weight.data += 0.2 * torch.randn_like(weight)
    return of


def trained(of: nn.Module) -> dict[str, int]:
    above = {name for name, _ in head(of)}
    return {name: w.numel() for name, w in of.named_parameters() if w.requires_grad and name not in above}


@pytest.mark.parametrize(
    ("tuning", "count"),
    [
        (Bottleneck("sequential", 1, [5]), 3841),
        (Bottleneck("parallel", 1, [5]), 3841),
        (Bottleneck("attention", 1, [5]), 3841),
        (Lora(1, 1, ["query", "key"], [10]), 3072),
        (Prefix(2, [10]), 3072),
        (Unfrozen(["query", "intermediate"], [10], biases_only=True), 3840),
        (Unfrozen(["intermediate", "output"], [4]), 4_722_432 + 1536),
        (Unfrozen(["intermediate", "output", "attention_output"], [4]), 4_722_432 + 1536 + 768**2 + 3 * 768),
        (Unfrozen(layers=[4]), 7_087_872),
        (Together([Bottleneck("sequential", 1, [5]), Lora(1, 1, ["query", "key"], [10])]), 6913),
        (Ia3(["key", "value", "output"], [0]), 2 * 768 + 3072),
        (Deltas(["query"], [0, 1]), 2 * 768**2),
        (Unfrozen(biases_only=True), 12 * (7 * 768 + 3072)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Tuning) else str(value),
)
def test_counts_on_bert_base(tuning: Tuning, count: int) -> None:
    with torch.device("meta"):
        made = AutoModelForSequenceClassification.from_config(BertConfig(num_labels=2))
    tuned = tuning(made)
    assert sum(trained(tuned).values()) == count
    assert all(weight.requires_grad for _, weight in head(tuned))
    assert sum(weight.numel() for _, weight in head(tuned)) == 768**2 + 768 + 2 * 768 + 2


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize(
    "tuning",
    [
        Lora(1, 1, ["output"], [1]),
        Ia3(["key"], [1]),
        Deltas(["query"], [1]),
        Prefix(1, [1]),
        *(Bottleneck(position, 1, [1]) for position in ("sequential", "parallel", "attention")),
        Unfrozen(["output"], [1]),
        Unfrozen(layers=[1]),
    ],
    ids=lambda tuning: type(tuning).__name__,
)
def test_a_layer_is_that_layer_only(family: str, tuning: Tuning) -> None:
    plain, tuned = network(family), moved(tuning(network(family)))
    assert trained(tuned)
    assert all(".encoder.layer.1." in name for name in trained(tuned))
    states = [one.base_model(IDS, MASK, output_hidden_states=True).hidden_states for one in (plain, tuned)]
    assert [torch.equal(*pair) for pair in zip(*states, strict=True)] == [True, True, False, False]


def test_the_feed_forward_block_is_without_the_attentions_output() -> None:
    names = {name.partition(".layer.1.")[2] for name in trained(Unfrozen(["intermediate", "output"], [1])(network()))}
    assert names == {
        f"{part}.{kind}"
        for part in ("intermediate.dense", "output.dense", "output.LayerNorm")
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("name", [*MERGED, *WITHIN])
def test_identity_at_the_start(family: str, name: str) -> None:
    assert torch.equal(logits((MERGED | WITHIN)[name](network(family))), logits(network(family)))


@pytest.mark.parametrize("auto_class", [AutoModelForMultipleChoice, AutoModelForMaskedLM])
@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("name", [*MERGED, *ADDED, *WITHIN])
def test_every_kind_of_head_takes_gradients_where_it_is_trained(family: str, auto_class: Any, name: str) -> None:
    tuned = moved((MERGED | ADDED | WITHIN)[name](network(family, auto_class))).train()
    shape = (1, *IDS.shape) if auto_class is AutoModelForMultipleChoice else IDS.shape
    tuned(input_ids=IDS.view(shape), attention_mask=MASK.view(shape)).logits.square().sum().backward()
    for parameter, weight in tuned.named_parameters():
        unused = "pooler" in parameter and auto_class is AutoModelForMaskedLM
        assert unused or weight.requires_grad == (weight.grad is not None), parameter


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("name", MERGED)
def test_merged_is_unmerged_and_zeros_stay(family: str, name: str, labels: int) -> None:
    base = network(family, sparse=True, num_labels=labels)
    zeros = {key: weight == 0 for key, weight in base.named_parameters() if ".layer." in key and weight.dim() == 2}
    tuned = moved(MERGED[name](network(family, sparse=True, num_labels=labels)))
    before = logits(tuned)
    assert (before - logits(base)).abs().max() > 0.01
    plain = merge(tuned)
    torch.testing.assert_close(logits(plain), before, rtol=1e-5, atol=1e-5)
    weights = dict(plain.named_parameters())
    assert weights.keys() == dict(base.named_parameters()).keys()
    for key, places in zeros.items():
        assert 0.5 < places.float().mean() < 0.7
        assert torch.equal(weights[key] == 0, places), key


def test_merging_refuses_to_lose_a_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = moved(Deltas()(network(sparse=True)))
    monkeypatch.setattr("models.deltas._on_kept", lambda weight, delta: delta)
    with pytest.raises(RuntimeError, match="does not keep its zeros"):
        merge(tuned)


def test_lora_of_a_dense_network_is_that_of_peft() -> None:
    config = {"r": 2, "lora_alpha": 3, "init_lora_weights": "gaussian"}
    theirs = inject_adapter_in_model(LoraConfig(target_modules=["query", "value"], **config), network())
    ours = Lora(2, 3, ["query", "value"])(network())
    for one in (theirs, ours):
        for name, _ in head(one):
            one.get_parameter(name).requires_grad_(False)
        moved(one)
    torch.testing.assert_close(logits(ours), logits(theirs))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of peft's own doing
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_prefixes_in_all_layers_are_those_of_peft(attention: str) -> None:
    length, ours, base = 3, Prefix(3)(network()), network()
    ours.set_attn_implementation(attention)
    moved(ours)
    # peft's tokens stand behind the prefix: their positions begin with its length.
    base.load_state_dict({key: weight for key, weight in ours.state_dict().items() if ".prefix." not in key})
    positions = base.bert.embeddings.position_embeddings.weight.data
    positions.copy_(positions.roll(length, dims=0))
    theirs = get_peft_model(base, PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=length)).eval()
    pairs = [
        (layer.attention.self.prefix.keys, layer.attention.self.prefix.values) for layer in ours.bert.encoder.layer
    ]
    rows = torch.cat([torch.cat(pair, dim=1) for pair in pairs], dim=1)
    theirs.prompt_encoder["default"].embedding.weight.data.copy_(rows)
    classifier = ours.classifier
    theirs.base_model.classifier.modules_to_save["default"].load_state_dict(classifier.state_dict())
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-4, atol=1e-5)


def test_what_adapters_compute() -> None:
    torch.manual_seed(3)
    hidden, bypass = torch.randn(2, 4, 32), torch.randn(2, 4, 16)
    for position in ("sequential", "parallel", "attention"):
        tuned = moved(Bottleneck(position, 2)(network()))
        layer = tuned.bert.encoder.layer[1]
        block = layer.attention.output if position == "attention" else layer.output
        adapter, given = block.adapter, hidden[..., : block.dense.in_features]

        def adapted(x: torch.Tensor, adapter: Any = adapter) -> torch.Tensor:
            up = functional.linear(torch.tanh(x @ adapter.down.weight.T + adapter.down.bias), adapter.up.weight)
            return functional.layer_norm(x + up + adapter.up.bias, (16,), adapter.norm.weight, adapter.norm.bias, 1e-12)

        def normed(x: torch.Tensor, block: Any = block) -> torch.Tensor:
            return functional.layer_norm(x, (16,), block.LayerNorm.weight, block.LayerNorm.bias, 1e-12)

        product = functional.linear(given, block.dense.weight, block.dense.bias)
        expected = normed(product + adapted(bypass)) if position == "parallel" else adapted(normed(product + bypass))
        torch.testing.assert_close(block(given, bypass), expected)


@pytest.mark.parametrize("name", [*MERGED, *ADDED, *WITHIN])
def test_a_saved_network_comes_back(tmp_path: Any, name: str) -> None:
    tiny = Tiny(hidden_size=16, heads=2, intermediate_size=32, layers=3)
    torch.manual_seed(0)
    tuned = moved((MERGED | ADDED | WITHIN)[name](tiny.build(AutoModelForSequenceClassification, num_labels=3).eval()))
    expected = logits(tuned)
    save(tuned, tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    again = Pretrained(str(tmp_path)).build(AutoModelForSequenceClassification, num_labels=3).eval()
    torch.testing.assert_close(logits(again), expected, rtol=1e-5, atol=1e-5)
    assert again.state_dict().keys() == tuned.state_dict().keys()
    plain, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    if name in ADDED:
        assert all(".adapter." in key or ".prefix." in key for key in report["unexpected_keys"])
        assert report["unexpected_keys"]
        with pytest.raises(ValueError, match=r"the network has .* already"):
            ADDED[name](again)
    else:
        assert not report["unexpected_keys"]
        torch.testing.assert_close(logits(plain), expected, rtol=1e-5, atol=1e-5)


def test_additions_of_an_unknown_kind_and_missing_ones(tmp_path: Any) -> None:
    tiny = Tiny(hidden_size=16, heads=2, intermediate_size=32)
    made = tiny.build(AutoModelForSequenceClassification)
    for additions, reason in (
        ([{"kind": "gate"}], "its config names an addition that is not known"),
        ([{"kind": "prefix", "length": 2, "layers": None}], "prefix"),
        ([{"kind": "prefix", "length": 0, "layers": None}], r"tuning\.length=0"),
    ):
        made.config.additions = additions
        made.save_pretrained(tmp_path)
        tiny.tokenizer().save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=rf"weights cannot be read \(.*{reason}"):
            Pretrained(str(tmp_path)).build(AutoModelForSequenceClassification)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lora(0, 1, ["query"]), r"tuning\.rank=0 must be at least 1"),
        (lambda: Lora(1, 0, ["query"]), r"tuning\.alpha=0 must be positive"),
        (lambda: Lora(1, 1, []), r"tuning\.parts=\[\] must be a list of at least one of query, key"),
        (lambda: Ia3(["keys"]), r"tuning\.parts has 'keys', which no layer has; its parts are query, key"),
        (lambda: Deltas("query"), r"tuning\.parts='query' must be a list"),
        (lambda: Bottleneck("serial", 1), r"tuning\.position=serial must be one of sequential, parallel, attention"),
        (lambda: Bottleneck("parallel", 0), r"tuning\.bottleneck=0 must be at least 1"),
        (lambda: Prefix(0), r"tuning\.length=0 must be at least 1"),
        (lambda: Prefix(1, []), r"tuning\.layers=\[\] must name different layers"),
        (lambda: Unfrozen(layers=[1, 1]), r"tuning\.layers=\[1, 1\] must name different layers"),
        (lambda: Unfrozen(layers=[-1]), r"tuning\.layers has -1; layers are numbered from 0"),
        (lambda: Unfrozen(layers=["a"]), r"tuning\.layers has 'a'; layers are numbered from 0"),
        (lambda: Together([]), r"tuning\.tunings is empty"),
    ],
)
def test_illegal_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "tuning", [Unfrozen(layers=[3]), Lora(1, 1, ["key"], [0, 3]), Prefix(1, [3]), Bottleneck("parallel", 1, [3])]
)
def test_illegal_layers_of_a_network(tuning: Tuning) -> None:
    with pytest.raises(ValueError, match=r"tuning\.layers has 3, but the network's layers are 0 to 2"):
        tuning(network())


@pytest.mark.parametrize(
    "tunings", [[Deltas(["key"]), Lora(1, 1, ["key"])], [Lora(1, 1, ["key"])] * 2, [Ia3(["key"]), Deltas(["key"])]]
)
def test_illegal_tuning_of_one_matrix_twice(tunings: list[Tuning]) -> None:
    with pytest.raises(ValueError, match="is tuned twice"):
        Together(tunings)(network())


def test_tunings_of_different_parts_go_together() -> None:
    tuned = moved(Together([Lora(1, 1, ["key"]), Lora(2, 2, ["value"]), Ia3(["output"]), Prefix(1)])(network()))
    before, names = logits(tuned), {name.rpartition(".layer.0.")[2] for name in trained(tuned)}
    assert {name for name in names if "layer" not in name} == {
        "attention.self.key.lora_A.default.weight",
        "attention.self.key.lora_B.default.weight",
        "attention.self.value.lora_A.default.weight",
        "attention.self.value.lora_B.default.weight",
        "attention.self.prefix.keys",
        "attention.self.prefix.values",
        "output.dense.ia3_l.default",
    }
    torch.testing.assert_close(logits(merge(tuned)), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "count", "layer", "lr"),
    [
        ("raw", 0, None, 2e-3),
        ("prefix", 3072, 10, 2e-4),
        ("lora", 3072, 10, 2e-3),
        ("bitfit", 3840, 10, 2e-4),
        ("adapter", 3841, 5, 2e-3),
        ("parallel_adapter", 3841, 5, 2e-3),
        ("attention_adapter", 3841, 5, 2e-3),
        ("ffn", 4_723_968, 4, 2e-5),
    ],
)
def test_petls_sizes_and_places(name: str, count: int, layer: int | None, lr: float) -> None:
    config = composed("experiment=petl_glue", f"tuning=petl/{name}")
    with torch.device("meta"):
        made = AutoModelForSequenceClassification.from_config(BertConfig())
    found = trained(instantiate(config.tuning, _convert_="all")(made))
    assert (sum(found.values()), config.lr) == (count, lr)
    assert all(f".layer.{layer}." in parameter for parameter in found)

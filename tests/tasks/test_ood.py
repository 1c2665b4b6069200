"""Sets of another distribution: their original files, parts, merged classes, and what is measured on them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional
from torchmetrics.classification import BinaryF1Score, MulticlassAccuracy

from tasks import fever, hans, paws
from tasks.measures import Measures, merged
from tasks.ood import joined
from tasks.rows import Pair

SHARED = Path(__file__).parents[2] / "../shared/data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")
NLI = ["entailment", "neutral", "contradiction"]
HEADER = [
    *("gold_label", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse"),
    *("sentence1", "sentence2", "pairID", "heuristic", "subcase", "template"),
]


def hans_file(folder: Path, *rows: tuple[str, str], name: str = "heuristics_evaluation_set.txt") -> None:
    """Writes rows of (gold label, heuristic) in the original eleven columns."""
    lines = [
        [gold, "( a )", "( b )", "(ROOT a)", "(ROOT b)", f'The "doctor {i} .', "B .", f"ex{i}", heuristic, "s", "t1"]
        for i, (gold, heuristic) in enumerate(rows)
    ]
    (folder / name).write_text("\n".join("\t".join(line) for line in [HEADER, *lines]) + "\n")


def test_hans_in_the_classes_of_any_task(tmp_path: Path) -> None:
    hans_file(tmp_path, ("non-entailment", "subsequence"), ("entailment", "constituent"))
    names = {"test": "heuristics_evaluation_set.txt"}
    first, second = hans.read(NLI, str(tmp_path), names)["test"]
    assert first == Pair('The "doctor 0 .', "B .", 2, "ex0", (1,), ("subsequence", "subsequence_non_entailment"))
    assert (second.label, second.also) == (0, ())
    assert second.parts == ("constituent", "constituent_entailment")
    for labels in (["contradiction", "entailment", "neutral"], ["entailment", "not_entailment"], ["x", "entailment"]):
        row, other = hans.read(labels, str(tmp_path), names)["test"]
        assert labels[other.label or 0] == "entailment"
        assert {row.label, *row.also} == set(range(len(labels))) - {other.label}


@pytest.mark.parametrize(
    ("labels", "rows", "message"),
    [
        (["0", "1"], [("entailment", "subsequence")], r"not among task.module.labels=\['0', '1'\]"),
        (NLI, [("neutral", "subsequence")], "line 2: unknown label 'neutral'"),
        (NLI, [], "the file is empty after its header"),
    ],
)
def test_illegal_hans(tmp_path: Path, labels: list[str], rows: list[Any], message: str) -> None:
    hans_file(tmp_path, *rows)
    with pytest.raises(ValueError, match=message):
        hans.read(labels, str(tmp_path), {"test": "heuristics_evaluation_set.txt"})


def test_paws_undoes_what_its_script_wrote(tmp_path: Path) -> None:
    lines = ["id\tsentence1\tsentence2\tlabel", "1\tb'caf\\xc3\\xa9 ?'\tb\"it's\"\t0", "2\tb 'c'\tplain\t1"]
    (tmp_path / "dev_and_test.tsv").write_text("\n".join(lines) + "\n")
    rows = paws.read(["0", "1"], {"test": "dev_and_test.tsv"}, str(tmp_path))["test"]
    assert rows == [Pair("café ?", "it's", 0, "1"), Pair("b 'c'", "plain", 1, "2")]
    flipped = paws.read(["duplicate", "not_duplicate"], {"test": "dev_and_test.tsv"}, str(tmp_path))["test"]
    assert [row.label for row in flipped] == [1, 0]


@pytest.mark.parametrize(
    ("labels", "cell", "message"),
    [
        (NLI, "a", "PAWS has the classes 0 and 1"),
        (["yes", "no"], "a", "PAWS has the classes 0 and 1"),
        (["0", "1"], "b'\\xff'", "row 1: b'.* is not a text that Python wrote"),
        (["0", "1"], "b'a' + b'b'", "row 1: b'.* is not a text that Python wrote"),
    ],
)
def test_illegal_paws(tmp_path: Path, labels: list[str], cell: str, message: str) -> None:
    (tmp_path / "a.tsv").write_text(f"id\tsentence1\tsentence2\tlabel\n1\t{cell}\tc\t0\n")
    with pytest.raises(ValueError, match=message):
        paws.read(labels, {"test": "a.tsv"}, str(tmp_path))


def test_fever_in_all_its_forms(tmp_path: Path) -> None:
    rows = [
        {"claim": "A.", "evidence": ["B.", "C."], "label": "REFUTES"},
        {"claim": "A.", "evidence_sentence": "B.", "label": "SUPPORTS", "id": 7},
        {"claim": "A.", "evidence": "B.", "gold_label": "SUPPORTS", "label": "other", "id": "8"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    read = fever.read(["SUPPORTS", "REFUTES"], str(tmp_path), {"train": "a.jsonl", "val": "a.jsonl"}, repeat=2)
    assert read["val"] == [Pair("A.", "B. C.", 1, "0"), Pair("A.", "B.", 0, "7"), Pair("A.", "B.", 0, "8")]
    assert read["train"] == 2 * read["val"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"claim": "A", "evidence": [["x", 1]], "label": "REFUTES"}, "must be a text or a list of sentences"),
        ({"claim": "A", "evidence": "B", "label": "NOT ENOUGH INFO"}, "line 1: unknown label 'NOT ENOUGH INFO'"),
        ({"claim": "A", "label": "REFUTES"}, "line 1: no field 'evidence_sentence'"),
        ({"evidence": "A", "label": "REFUTES"}, "line 1: no field 'claim'"),
    ],
)
def test_illegal_fever(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match=message):
        fever.read(["SUPPORTS", "REFUTES"], str(tmp_path), {"val": "a.jsonl"})


def test_sets_beside_a_task() -> None:
    row, other = Pair("a", "b", 0, "0"), Pair("c", "d", 1, "1")
    splits = joined({"train": [row], "val": [row]}, {"x": {"test": [other]}, "y": {"train": [other], "test": [row]}})
    assert splits == {"train": [row, other], "val": [row], "ood/x": [other], "ood/y": [row]}
    with pytest.raises(ValueError, match=r"ood.x.names.val has no use here"):
        joined({}, {"x": {"val": [row], "test": [row]}})
    with pytest.raises(ValueError, match=r"ood.x.names.test is missing"):
        joined({}, {"x": {"train": [row]}})


def measured(rows: list[Pair], logits: torch.Tensor, metrics: dict[str, Any]) -> dict[str, float]:
    """What a split of these rows comes to in batches of three."""
    measures = Measures(metrics, rows)
    for index in torch.arange(len(rows)).split(3):
        labels = torch.tensor([rows[i].label for i in index])
        losses = functional.cross_entropy(logits[index], labels, reduction="none")
        outputs: Any = SimpleNamespace(logits=logits[index], labels=labels, losses=losses)

        def criterion(scores: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return functional.cross_entropy(scores, right, reduction="none")

        measures.update_from(outputs, logits[index].argmax(-1), {"index": index}, criterion)
    return {name: float(measure.compute()) for name, measure in measures.items()}


def test_hans_is_measured_as_counted_by_hand(tmp_path: Path) -> None:
    """Neutral and contradiction are merged after the argmax: 0.4 + 0.25 do not outvote 0.35."""
    gold = ["non-entailment"] * 4 + ["entailment"] * 3
    heuristics = [
        "subsequence",
        "subsequence",
        "constituent",
        "subsequence",
        "subsequence",
        "constituent",
        "constituent",
    ]
    hans_file(tmp_path, *zip(gold, heuristics, strict=True))
    rows = hans.read(NLI, str(tmp_path), {"test": "heuristics_evaluation_set.txt"})["test"]
    neutral, against, entailed, close = [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.4, 0.35, 0.25]
    chances = torch.tensor([neutral, against, entailed, close, entailed, neutral, close])
    found = measured(rows, chances.log(), {"accuracy": MulticlassAccuracy(num_classes=3, average="micro")})
    said = ["entailment" if row.argmax() == 0 else "non-entailment" for row in chances]
    parts = {f"{h}_{g.replace('-', '_')}": [] for h, g in zip(heuristics, gold, strict=True)}
    parts |= {"subsequence": [], "constituent": []}
    for i, (h, g) in enumerate(zip(heuristics, gold, strict=True)):
        parts[h].append(i)
        parts[f"{h}_{g.replace('-', '_')}"].append(i)
    expected = {
        f"accuracy_{part}": accuracy_score([gold[i] for i in at], [said[i] for i in at]) for part, at in parts.items()
    }
    joint = [row[0] if right == "entailment" else row[1:].sum() for row, right in zip(chances, gold, strict=True)]
    loss = float(-torch.stack(joint).log().mean())
    assert found == pytest.approx({"accuracy": accuracy_score(gold, said), "loss": loss, **expected}, abs=1e-6)
    assert found["accuracy"] == pytest.approx(4 / 7)
    assert found["accuracy_subsequence_non_entailment"] == pytest.approx(2 / 3)


def test_merged_classes_have_their_joint_probability() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    also = torch.tensor([[False, False, True], [False, False, False]])
    chances = merged(logits, torch.tensor([1, 0]), also).softmax(-1)
    plain = logits.softmax(-1)
    torch.testing.assert_close(chances[0], torch.stack([plain[0, 0], plain[0, 1] + plain[0, 2], torch.tensor(0.0)]))
    torch.testing.assert_close(chances[1], plain[1])


def test_f1_is_that_of_scikit_learn() -> None:
    torch.manual_seed(0)
    labels, logits = torch.randint(2, (50,)), torch.randn(50, 2)
    rows = [Pair("a", "b", int(label), str(i)) for i, label in enumerate(labels)]
    found = measured(rows, logits, {"f1": BinaryF1Score()})
    assert found["f1"] == pytest.approx(f1_score(labels, logits.argmax(-1)))


@shared
@pytest.mark.shared
def test_the_published_files() -> None:
    def counts(rows: list[Pair]) -> list[int]:
        return [sum(row.label == label for row in rows) for label in (0, 1)]

    names = {"test": "heuristics_evaluation_set.regenerated.txt"}
    rows = hans.read(["entailment", "other"], str(SHARED / "hans"), names)["test"]
    assert counts(rows) == [15000, 15000]
    assert sum("lexical_overlap_entailment" in row.parts for row in rows) == 5000
    labels = ["SUPPORTS", "REFUTES"]
    read = fever.read(labels, str(SHARED / "fever"), {"val": "paper_dev_sup_ref.jsonl"})
    assert counts(read["val"]) == [3333, 3333]
    for version, name, size in (("1", "generated", 717), ("2", "dev", 708), ("2", "test", 712)):
        folder = SHARED / "fever_symmetric" / f"symmetric_v0.{version}"
        assert len(fever.read(labels, str(folder), {"test": f"fever_symmetric_{name}.jsonl"})["test"]) == size
    for name, expected in (("paws_qqp_dev_and_test", [486, 191]), ("paws_wiki_dev_2k", [1137, 863])):
        assert counts(paws.read(["0", "1"], {"test": f"{name}.tsv"}, str(SHARED / "paws"))["test"]) == expected

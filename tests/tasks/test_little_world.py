"""The little world tells the truth, tells every fact in training, and gives nothing away."""

import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from models.tiny import Tiny
from tasks.little_world import ATTRIBUTES, ENTAILMENT, NAMED, NOT_ENTAILMENT, World, pairs, questions, world
from tasks.rows import Pair, Question

SIZES = {"things": 12, "kinds": 4, "values": 4}
SPLITS = {"train": 1200, "val": 80, "test": 80}
SCENE = world(3, **SIZES)


@pytest.fixture(scope="module")
def asked() -> dict[str, list[Question]]:
    return questions(3, **SPLITS, **SIZES)


@pytest.fixture(scope="module")
def told() -> dict[str, list[Pair]]:
    return pairs(3, **SPLITS, **SIZES)


def truths(scene: World) -> set[str]:
    """Every true sentence about the things of the world."""
    return {
        phrase.format(x=x, v=v) for a in ATTRIBUTES for x, v in scene.facts[a.name].items() for phrase in a.says
    } | {phrase.format(x=x) for x in scene.facts["kind"] for phrase in NAMED}


def right(scene: World, text: str) -> set[str]:
    """Every right answer to a question."""
    answers = set()
    for a in ATTRIBUTES:
        rules = {f"every {kind}": value for kind, value in scene.rules.get(a.name, {}).items()}
        for x, v in (scene.facts[a.name] | rules).items():
            answers |= {v for phrase in a.what if phrase.format(x=x) == text}
            answers |= {x for phrase in a.which if phrase.format(v=v) == text and x not in rules}
    return answers


def test_world_has_the_asked_sizes_and_kinds_pass_on_their_rules() -> None:
    assert [len(SCENE.facts[a.name]) for a in ATTRIBUTES] == [12] * 6
    assert {name: len(rule) for name, rule in SCENE.rules.items()} == {"use": 4, "material": 4}
    assert all(
        SCENE.facts[name][x] == rule[SCENE.facts["kind"][x]]
        for name, rule in SCENE.rules.items()
        for x in SCENE.facts[name]
    )
    assert all(set(Counter(SCENE.facts[a.name].values()).values()) == {3} for a in ATTRIBUTES)


def test_every_name_has_one_meaning() -> None:
    names = [*SCENE.facts["kind"], *SCENE.strangers]
    names += [value for a in ATTRIBUTES for value in set(SCENE.facts[a.name].values())]
    assert len(set(names)) == len(names)


def test_exactly_the_labelled_choice_is_right(asked: dict[str, list[Question]]) -> None:
    for row in asked["train"] + asked["val"] + asked["test"]:
        assert row.label is not None
        assert set(row.choices) & right(SCENE, row.text) == {row.choices[row.label]}


def test_wrong_choices_are_right_for_something_else(asked: dict[str, list[Question]]) -> None:
    for row in asked["train"]:
        pools = [set(SCENE.facts[a.name].values()) for a in ATTRIBUTES] + [set(SCENE.facts["kind"])]
        assert any(set(row.choices) <= pool for pool in pools)


def test_entailed_means_true(told: dict[str, list[Pair]]) -> None:
    true = truths(SCENE)
    for row in told["train"] + told["val"] + told["test"]:
        assert row.second is not None
        subject = row.first.split()[0]
        second = row.second.replace("it ", f"{subject} ", 1)
        if subject in SCENE.strangers:
            kind = row.first.rstrip(".").split()[-1]
            twin = next(x for x, of in SCENE.facts["kind"].items() if of == kind)
            assert (second.replace(subject, twin) in true) == (row.label == ENTAILMENT), row
        else:
            assert row.first in true
            assert (second in true) == (row.label == ENTAILMENT), row


def test_no_row_comes_twice_across_or_within_splits(
    asked: dict[str, list[Question]], told: dict[str, list[Pair]]
) -> None:
    every_question = [(row.text, *sorted(row.choices)) for split in asked.values() for row in split]
    every_pair = [(row.first, row.second) for split in told.values() for row in split]
    every_id = [row.id for split in asked.values() for row in split]
    for rows in (every_question, every_pair, every_id):
        assert len(set(rows)) == len(rows) == sum(SPLITS.values())


def test_training_shows_every_fact() -> None:
    """Even with as few rows as there are facts: 6 attributes of 12 things, 2 rules of 4 kinds."""
    rows = questions(3, train=80, val=1, test=1, **SIZES)["train"]
    seen = set()
    for row in rows:
        answer = row.choices[row.label or 0]
        for a in ATTRIBUTES:
            rules = {f"every {kind}": value for kind, value in SCENE.rules.get(a.name, {}).items()}
            for x, v in (SCENE.facts[a.name] | rules).items():
                asks = row.text in {phrase.format(x=x) for phrase in a.what} and answer == v
                if asks or (row.text in {phrase.format(v=v) for phrase in a.which} and answer == x):
                    seen.add((a.name, x))
    assert len(seen) == 80


@pytest.mark.parametrize("choices", [2, 3, 4])
def test_each_position_is_right_equally_often(choices: int) -> None:
    splits = questions(3, train=240, val=60, test=60, choices=choices, **SIZES)
    for rows in splits.values():
        assert {len(row.choices) for row in rows} == {choices}
        assert Counter(row.label for row in rows) == {label: len(rows) // choices for label in range(choices)}


def test_pair_labels_are_balanced(told: dict[str, list[Pair]]) -> None:
    for rows in told.values():
        assert Counter(row.label for row in rows) == {ENTAILMENT: len(rows) // 2, NOT_ENTAILMENT: len(rows) // 2}


@pytest.mark.parametrize(
    "surface",
    [
        lambda row: len(words(row.first) & words(row.second)),
        lambda row: len(words(row.second)),
        lambda row: row.second.split()[-1],
        lambda row: " ".join(word for word in row.second.split() if word != row.first.split()[0]),
    ],
    ids=["overlap", "length", "last word", "second sentence"],
)
def test_the_surface_of_a_pair_does_not_give_its_label(surface: Callable[[Pair], object]) -> None:
    """The majority label of each surface value, counted in training, guesses validation no better than a coin."""
    told = pairs(val=1000)
    counts: dict[object, Counter[int | None]] = {}
    for row in told["train"]:
        counts.setdefault(surface(row), Counter())[row.label] += 1
    hits = [counts[surface(row)].most_common(1)[0][0] == row.label for row in told["val"] if surface(row) in counts]
    assert 0.45 < sum(hits) / len(hits) < 0.55


def words(text: str | None) -> set[str]:
    return set(re.findall(r"\w+", text or ""))


def test_questions_and_pairs_of_one_seed_tell_of_one_world(
    asked: dict[str, list[Question]], told: dict[str, list[Pair]]
) -> None:
    assert all(right(SCENE, row.text) for row in asked["val"])
    assert not any(right(world(4, **SIZES), row.text) for row in asked["val"])
    assert not truths(world(4, **SIZES)) & {row.first for row in told["val"]}


def test_the_seed_alone_decides() -> None:
    state = random.getstate()
    assert questions(5, 100, 10, 10, **SIZES) == questions(5, 100, 10, 10, **SIZES)
    assert pairs(5, 100, 10, 10, **SIZES) == pairs(5, 100, 10, 10, **SIZES) != pairs(6, 100, 10, 10, **SIZES)
    assert random.getstate() == state


def test_the_default_rows_never_change() -> None:
    """Golden: independent of the process (no `hash()`) and of the version; results of old runs stay comparable."""
    assert questions()["val"][0] == Question("what has the owner fusi?", ("vamo", "gimo", "ziza", "pako"), 3, "val-0")
    assert pairs()["val"][0] == Pair("nipa is one of these.", "it is sobo in colour.", 0, "val-0")


def test_words_are_one_to_three_pieces_and_rows_are_short(
    asked: dict[str, list[Question]], told: dict[str, list[Pair]]
) -> None:
    tokenizer = Tiny().tokenizer()
    texts = [text for row in asked["train"] for text in (row.text, *row.choices)]
    texts += [text for row in told["train"] for text in (row.first, row.second or "")]
    assert max(len(tokenizer.tokenize(word)) for text in texts for word in words(text)) <= 3
    assert max(len(ids) for ids in tokenizer(texts)["input_ids"]) <= 16


@pytest.mark.parametrize("choices", [1, 5])
def test_illegal_choices(choices: int) -> None:
    with pytest.raises(ValueError, match=f"choices={choices} must lie between 2 and 4"):
        questions(choices=choices, **SIZES)


@pytest.mark.parametrize("rows", [questions, pairs])
def test_illegal_training_set_that_leaves_facts_out(rows: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="train=79 must be at least 80"):
        rows(train=79, **SIZES)


@pytest.mark.parametrize("rows", [questions, pairs])
def test_illegal_number_of_rows(rows: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match=r"about \d+ different rows: raise task.data.things or"):
        rows(train=10**6, things=4, kinds=4, values=4)


@pytest.mark.parametrize("rows", [questions, pairs])
@pytest.mark.parametrize(
    ("key", "value", "least"), [("seed", -1, 0), ("train", -5, 80), ("val", 0, 1), ("test", -1, 1)]
)
def test_illegal_counts(rows: Callable[..., object], key: str, value: int, least: int) -> None:
    with pytest.raises(ValueError, match=rf"^task.data.{key}={value} must be at least {least}"):
        rows(**{key: value}, **SIZES)


@pytest.mark.parametrize("sizes", [(12, 1, 4), (12, 4, 1), (12, 13, 4), (12, 4, 13)])
def test_illegal_kinds_and_values(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must lie between 2 and things=12"):
        world(0, *sizes)


def test_illegal_number_of_things() -> None:
    with pytest.raises(ValueError, match="things=3000 needs 6024 names"):
        world(0, things=3000, kinds=4, values=4)

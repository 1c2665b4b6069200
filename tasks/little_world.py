"""A little world of made-up things, told as questions and as sentence pairs: tasks that need no download.

Every thing has a kind, a place, a colour and an owner; its use and its material follow from its kind. Names mean
nothing, so an answer must come from the network's weights, in one step or, for what a kind passes on, in two.
"""

import random
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar, final

from tasks.rows import Pair, Question

SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
ENTAILMENT, NOT_ENTAILMENT = 0, 1
Row = TypeVar("Row", Question, Pair)


@final
@dataclass(frozen=True)
class Attribute:
    """A property with the phrases that ask for its value, ask who has it, and say it; `x` has value `v`."""

    name: str
    what: tuple[str, ...]
    which: tuple[str, ...]
    says: tuple[str, ...]
    inherited: bool = False


ATTRIBUTES = (
    Attribute(
        "kind",
        what=("what kind of thing is {x}?", "which kind has {x}?"),
        which=("which of these is a {v}?", "what is a kind of {v}?"),
        says=("{x} is a {v}.", "{x} is a kind of {v}."),
    ),
    Attribute(
        "place",
        what=("where is {x}?", "in which place is {x}?"),
        which=("which of these is in {v}?", "what stands in {v}?"),
        says=("{x} is in {v}.", "{x} stands in {v}."),
    ),
    Attribute(
        "colour",
        what=("what colour is {x}?", "which colour has {x}?"),
        which=("which of these is {v} in colour?", "what has the colour {v}?"),
        says=("{x} is {v} in colour.", "{x} has the colour {v}."),
    ),
    Attribute(
        "owner",
        what=("whose is {x}?", "who is the owner of {x}?"),
        which=("which of these does {v} own?", "what has the owner {v}?"),
        says=("{x} is owned by {v}.", "{x} has the owner {v}."),
    ),
    Attribute(
        "use",
        what=("what is {x} used for?", "for what do we use {x}?"),
        which=("which of these is used for {v}?", "what do we use for {v}?"),
        says=("{x} is used for {v}.", "{x} is of use for {v}."),
        inherited=True,
    ),
    Attribute(
        "material",
        what=("what is {x} made of?", "of what is {x} made?"),
        which=("which of these is made of {v}?", "what is made of {v}?"),
        says=("{x} is made of {v}.", "{x} is made out of {v}."),
        inherited=True,
    ),
)
NAMED = ("{x} is here.", "{x} is one of these.", "{x} is there too.", "{x} is a thing.")


@final
@dataclass(frozen=True)
class World:
    """`facts[attribute name][thing]` is a value, `rules` the same for kinds; `strangers` are names of nothing known."""

    facts: dict[str, dict[str, str]]
    rules: dict[str, dict[str, str]]
    strangers: tuple[str, ...]


def world(seed: int, things: int, kinds: int, values: int) -> World:
    """Draw a world of `things` things of `kinds` kinds, with `values` values for each attribute but the kind."""
    if seed < 0:
        raise ValueError(f"task.data.seed={seed} must be at least 0")
    if not 2 <= min(kinds, values) <= max(kinds, values) <= things:
        raise ValueError(f"task.data.kinds={kinds} and values={values} must lie between 2 and things={things}")
    if (needed := 2 * things + kinds + 5 * values) > len(SYLLABLES) ** 2:
        raise ValueError(
            f"task.data.things={things} needs {needed} names of {len(SYLLABLES) ** 2} that there are: lower it"
        )
    rng = random.Random(seed)
    names = _names(rng)
    everything = [next(names) for _ in range(things)]
    all_kinds = [next(names) for _ in range(kinds)]
    kind = _spread(rng, everything, all_kinds)
    facts, rules = {"kind": kind}, {}
    for attribute in ATTRIBUTES[1:]:
        pool = [next(names) for _ in range(values)]
        if attribute.inherited:
            rules[attribute.name] = _spread(rng, all_kinds, pool)
            facts[attribute.name] = {thing: rules[attribute.name][kind[thing]] for thing in everything}
        else:
            facts[attribute.name] = _spread(rng, everything, pool)
    return World(facts, rules, tuple(next(names) for _ in range(things)))


def questions(
    seed: int = 0,
    train: int = 12000,
    val: int = 500,
    test: int = 500,
    choices: int = 4,
    things: int = 48,
    kinds: int = 8,
    values: int = 8,
) -> dict[str, list[Question]]:
    """Multiple-choice questions about the world of `seed`; no question with the same choices comes twice.

    Wrong choices are right for some other thing. Each position is right equally often, and `train` asks for every fact.
    """
    if not 2 <= choices <= min(kinds, values):
        raise ValueError(
            f"task.data.choices={choices} must lie between 2 and {min(kinds, values)}, the smaller of kinds and values"
        )
    scene = world(seed, things, kinds, values)
    rng = random.Random(seed + 1)

    def draw(index: int, fact: tuple[Attribute, str]) -> Question:
        attribute, x = fact
        rule = x not in scene.facts["kind"]
        holds = (scene.rules if rule else scene.facts)[attribute.name]
        if rule or rng.random() < 0.5:
            text = rng.choice(attribute.what).format(x=f"every {x}" if rule else x)
            right, wrong = holds[x], sorted(set(holds.values()) - {holds[x]})
        else:
            text = rng.choice(attribute.which).format(v=holds[x])
            right, wrong = x, [other for other in holds if holds[other] != holds[x]]
        options = rng.sample(wrong, choices - 1)
        options.insert(index % choices, right)
        return Question(text, tuple(options), index % choices, "")

    def key(row: Question) -> Hashable:
        return row.text, *sorted(row.choices)

    return _splits(rng, _facts(scene), draw, key, {"train": train, "val": val, "test": test})


def pairs(
    seed: int = 0,
    train: int = 12000,
    val: int = 500,
    test: int = 500,
    things: int = 48,
    kinds: int = 8,
    values: int = 8,
    bias: float | None = None,
    unbiased: int = 500,
) -> dict[str, list[Pair]]:
    """Sentence pairs about the world of `seed`: does the second follow from the first and what the world is like?

    Label 0 is entailment, 1 is not. The first sentence names a thing, says something else that is true of it, or names
    something unknown as of some kind. Both labels use the same words equally often. With a `bias`, that is so in
    "ood/unbiased" only: elsewhere the second repeats the name just if it follows, in that share of the rows.
    """
    if bias is not None and not 0 <= bias <= 1:
        raise ValueError(f"task.data.bias={bias} is not a share of the rows between 0 and 1")
    sizes = {"train": train, "val": val, "test": test} | ({} if bias is None else {"ood/unbiased": unbiased})
    scene = world(seed, things, kinds, values)
    rng = random.Random(seed + 1)

    def draw(index: int, fact: tuple[Attribute, str]) -> Pair:
        attribute, x = fact
        if x in scene.facts["kind"]:
            told = rng.choice([other for other in ATTRIBUTES if other != attribute])
            says = rng.choice((NAMED, told.says))
            first, holds = rng.choice(says).format(x=x, v=scene.facts[told.name][x]), scene.facts[attribute.name]
            subject = x
        else:
            subject, holds = rng.choice(scene.strangers), scene.rules[attribute.name]
            first = rng.choice(ATTRIBUTES[0].says).format(x=subject, v=x)
        label = index % 2
        wrong = [value for value in holds.values() if value != holds[x]]
        value = holds[x] if label == ENTAILMENT else rng.choice(wrong)
        sentence, named = rng.choice(attribute.says), rng.choice(("it", subject))
        if bias is not None:
            # By number, as rows that have come before are drawn again; those of "ood/unbiased" are the last.
            share = bias if index < train + val + test else 0.5
            tells = (index // 2 + 1) * share // 1 > index // 2 * share // 1
            named = subject if tells == (label == ENTAILMENT) else "it"
        second = sentence.format(x=named, v=value)
        return Pair(first, second, label, "")

    def key(row: Pair) -> Hashable:
        return row.first, row.second

    return _splits(rng, _facts(scene), draw, key, sizes)


def _facts(scene: World) -> list[tuple[Attribute, str]]:
    """Everything that can be asked: each attribute of each thing, and each rule of each kind."""
    return [(a, x) for a in ATTRIBUTES for x in (*scene.facts[a.name], *scene.rules.get(a.name, ()))]


def _splits(
    rng: random.Random,
    facts: list[tuple[Attribute, str]],
    draw: Callable[[int, tuple[Attribute, str]], Row],
    key: Callable[[Row], Hashable],
    sizes: dict[str, int],
) -> dict[str, list[Row]]:
    """Draw rows about all facts in turn, no two with the same key, and deal them to the splits."""
    if sizes["train"] < len(facts):
        raise ValueError(f"task.data.train={sizes['train']} must be at least {len(facts)}, to show every fact")
    for split, size in sizes.items():
        if size < 1:
            raise ValueError(f"task.data.{split}={size} must be at least 1")
    rows: dict[Hashable, Row] = {}
    while len(rows) < sum(sizes.values()):
        before = len(rows)
        for fact in rng.sample(facts, len(facts)):
            row = draw(len(rows), fact)
            rows.setdefault(key(row), row)
        if len(rows) == before:
            raise ValueError(
                f"there are about {len(rows)} different rows: raise task.data.things or lower task.data.train"
            )
    stream = iter(rows.values())
    splits = {split: list(islice(stream, size)) for split, size in sizes.items()}
    for split, dealt in splits.items():
        rng.shuffle(dealt)
        splits[split] = [replace(row, id=f"{split}-{index}") for index, row in enumerate(dealt)]
    return splits


def _names(rng: random.Random) -> Iterator[str]:
    """Words of two syllables, none twice."""
    words = [first + second for first in SYLLABLES for second in SYLLABLES]
    rng.shuffle(words)
    return iter(words)


def _spread(rng: random.Random, keys: list[str], values: list[str]) -> dict[str, str]:
    """Give every key a value, each value equally often as far as it goes, so that none is a safe guess."""
    dealt = [values[index % len(values)] for index in range(len(keys))]
    rng.shuffle(dealt)
    return dict(zip(keys, dealt, strict=True))

"""Texts about the little world: each says, in some order and some words, all that is known of one of its things."""

import random

from tasks.little_world import ATTRIBUTES, world
from tasks.rows import Document


def texts(
    seed: int = 0,
    train: int = 4000,
    val: int = 200,
    test: int = 200,
    things: int = 48,
    kinds: int = 8,
    values: int = 8,
) -> dict[str, list[Document]]:
    """Texts of a sentence for each attribute, no two of them equal.

    Raises:
        ValueError: there are not so many different ones, or no world of that size.
    """
    scene = world(seed, things, kinds, values)
    rng = random.Random(seed + 1)
    sizes = {"train": train, "val": val, "test": test}
    for split, size in sizes.items():
        if size < 1:
            raise ValueError(f"task.data.{split}={size} must be at least 1")
    found: dict[str, None] = {}
    names = list(scene.facts["kind"])
    for draw in range(2 * sum(sizes.values())):
        x = names[draw % things]
        said = rng.sample(ATTRIBUTES, len(ATTRIBUTES))
        found.setdefault(" ".join(rng.choice(a.says).format(x=x, v=scene.facts[a.name][x]) for a in said))
    if len(found) < sum(sizes.values()):
        raise ValueError(f"there are too few different texts: raise task.data.things or lower task.data.train={train}")
    drawn = iter(found)
    return {split: [Document(next(drawn), f"{split}-{i}") for i in range(size)] for split, size in sizes.items()}

"""How a budget is spread: whole numbers that sum exactly, worked by hand and as properties."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsity.distributions import Distribution, Erk, Global, Group, Owl, PerRow, Uniform, outlier_ratio

ATTENTION, FFN = torch.Size([1024, 1024]), torch.Size([4096, 1024])
ROBERTA_LARGE = {f"attention{i}": ATTENTION for i in range(96)} | {f"ffn{i}": FFN for i in range(48)}
EIGHT = {"a": torch.Size([2, 1]), "b": torch.Size([2, 3])}


def counts(distribution: Distribution, shapes: dict[str, torch.Size], keep: int) -> list[int]:
    groups = distribution.groups(shapes, keep)
    assert [name for group in groups for name in group.names] == list(shapes)
    return [group.keep for group in groups]


def test_global_is_one_group() -> None:
    assert Global().groups(EIGHT, 3) == [Group(("a", "b"), 3)]


@pytest.mark.parametrize(
    ("distribution", "keep", "expected"),
    [
        (Uniform(), 0, [0, 0]),
        (Uniform(), 4, [1, 3]),  # exactly half
        (Uniform(), 3, [1, 2]),  # shares 0.75 and 2.25
        (Uniform(), 6, [2, 4]),  # shares 1.5 and 4.5 both round up to 7 together; the later one gives way
        (Uniform(), 8, [2, 6]),
        # raw densities 3/2 and 5/6, shares 3 : 5
        (Erk(), 2, [1, 1]),  # 0.75 and 1.25
        (Erk(), 4, [2, 2]),  # 1.5 and 2.5 round up to 5 together; the later one gives way
        (Erk(), 6, [2, 4]),  # 2.25 exceeds the first tensor, which is dense
        (Erk(), 8, [2, 6]),
        (Erk(power=0.0), 4, [1, 3]),
    ],
)
def test_eight_weights(distribution: Distribution, keep: int, expected: list[int]) -> None:
    assert counts(distribution, EIGHT, keep) == expected


@pytest.mark.parametrize(
    ("sparsity", "attention", "ffn"), [(0.2, 1.0, 0.70), (0.488, 0.683, 0.427), (0.893, 0.143, 0.089)]
)
def test_erk_of_roberta_large(sparsity: float, attention: float, ffn: float) -> None:
    keep = round(301_989_888 * (1 - sparsity))
    found = counts(Erk(), ROBERTA_LARGE, keep)
    assert sum(found) == keep
    assert found[0] / ATTENTION.numel() == pytest.approx(attention, abs=6e-4)
    assert found[-1] / FFN.numel() == pytest.approx(ffn, abs=6e-4)


shapes = st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=3), min_size=1, max_size=6).map(
    lambda sizes: {f"tensor{i}": torch.Size(size) for i, size in enumerate(sizes)}
)


@settings(max_examples=60, deadline=None)
@given(shapes=shapes, power=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_sums_exactly_and_shrinks_monotonically(shapes: dict[str, torch.Size], power: float) -> None:
    total = sum(shape.numel() for shape in shapes.values())
    found = []
    for keep in range(total + 1):
        for distribution in (Erk(power), Uniform()) if power == 0 else (Erk(power),):
            try:
                kept = counts(distribution, shapes, keep)
            except ValueError:
                continue
            assert sum(kept) == keep
            assert all(0 <= count <= shape.numel() for count, shape in zip(kept, shapes.values(), strict=True))
            assert keep == 0 or 0 not in kept
            found.append(kept)
    assert all(fewer <= more for less, greater in pairwise(found) for fewer, more in zip(less, greater, strict=True))


@settings(max_examples=100, deadline=None)
@given(shapes=shapes, share=st.floats(0, 1))
def test_uniform_is_within_two_weights_of_the_same_density(shapes: dict[str, torch.Size], share: float) -> None:
    total = sum(shape.numel() for shape in shapes.values())
    keep = round(total * share)
    try:
        kept = counts(Uniform(), shapes, keep)
    except ValueError:
        return
    ideal = [keep * shape.numel() / total for shape in shapes.values()]
    assert all(abs(count - share) <= 2 for count, share in zip(kept, ideal, strict=True))


@pytest.mark.parametrize("distribution", [Uniform(), Erk()])
def test_illegal_empty_tensor(distribution: Distribution) -> None:
    shapes = {"head": torch.Size([1, 10]), "body": torch.Size([30, 30])}
    with pytest.raises(ValueError, match="leaves head without weights when it keeps 1 of 910") as error:
        distribution.groups(shapes, 1)
    nearest = float(str(error.value).split()[-1])
    keep = round(910 * (1 - nearest))
    assert 0 not in counts(distribution, shapes, keep)
    with pytest.raises(ValueError, match="without weights"):
        distribution.groups(shapes, keep - 1)


@pytest.mark.parametrize("distribution", [Global(), Uniform(), Erk(), PerRow(), Owl()])
@pytest.mark.parametrize("keep", [-1, 9])
def test_illegal_keep(distribution: Distribution, keep: int) -> None:
    with pytest.raises(ValueError, match=f"cannot keep {keep} of 8 weights"):
        distribution.groups(EIGHT, keep)


@pytest.mark.parametrize("power", [-1.0, 17.0, float("nan")])
def test_illegal_power(power: float) -> None:
    with pytest.raises(ValueError, match=r"distribution\.power"):
        Erk(power)


@pytest.mark.parametrize(
    ("keep", "stay"),
    [(0, (0, 0)), (3, (0, 1)), (4, (0, 2)), (5, (1, 2)), (8, (1, 3))],  # 4: 0.5 and 1.5 of a row, halves to even
)
def test_eight_weights_per_row(keep: int, stay: tuple[int, int]) -> None:
    if 0 in stay and keep:
        with pytest.raises(ValueError, match=r"per-row distribution leaves a without weights.* 0\.37$"):
            PerRow().groups(EIGHT, keep)
    else:
        assert PerRow().groups(EIGHT, keep) == [Group(("a",), 2 * stay[0], 2), Group(("b",), 2 * stay[1], 2)]


def test_rows_compete_by_themselves() -> None:
    scores = {"a": torch.tensor([[9.0, 8.0, 7.0, 1.0], [1.0, 2.0, 2.0, 0.0]])}
    (group,) = PerRow().groups({"a": torch.Size([2, 4])}, 4)
    assert group.select(scores)["a"].int().tolist() == [[1, 1, 0, 0], [0, 1, 1, 0]]
    (group,) = PerRow().groups({"a": torch.Size([2, 4])}, 2)
    assert group.select(scores)["a"].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]  # a tie: the lower index


@settings(max_examples=60, deadline=None)
@given(shapes=shapes)
def test_per_row_misses_by_half_a_weight_per_row_at_most(shapes: dict[str, torch.Size]) -> None:
    total, found = sum(shape.numel() for shape in shapes.values()), []
    for keep in range(total + 1):
        try:
            kept = counts(PerRow(), shapes, keep)
        except ValueError as error:
            nearest = float(str(error).split()[-1])
            counts(PerRow(), shapes, round(total * (1 - nearest)))
            continue
        assert abs(sum(kept) - keep) <= sum(shape[0] for shape in shapes.values()) / 2
        found.append(kept)
    assert all(fewer <= more for less, greater in pairwise(found) for fewer, more in zip(less, greater, strict=True))


# One of four scores exceeds twice their mean in a, none in b.
OUTLIERS = {"a": torch.tensor([[9.0, 1.0], [1.0, 1.0]]), "b": torch.tensor([[1.0, 2.0], [1.0, 2.0]])}


def test_eight_weights_by_outliers() -> None:
    assert [outlier_ratio(score, 2.0) for score in OUTLIERS.values()] == [0.25, 0.0]
    shapes = {name: score.shape for name, score in OUTLIERS.items()}
    for spread, expected in {0.0: [2, 2], 0.25: [3, 1], 0.1: [2, 2]}.items():  # densities 0.5 + and - spread
        groups = Owl(2.0, spread).groups(shapes, 4, OUTLIERS)
        assert [group.keep for group in groups] == expected
    assert Owl(2.0, 0.25).groups(shapes, 4) == [Group(("a", "b"), 4)]
    scaled = {name: 8 * score for name, score in OUTLIERS.items()}
    assert Owl(2.0, 0.25).groups(shapes, 4, scaled) == Owl(2.0, 0.25).groups(shapes, 4, OUTLIERS)


def test_outliers_of_tensors_of_unlike_sizes() -> None:
    """The densities of the paper's code, but that their mean is weighted, so that the count is exact."""
    generator = torch.Generator().manual_seed(0)
    scores = {f"{i}": torch.randn(20 + 10 * i, 30, generator=generator).abs() ** (1 + i) for i in range(4)}
    shapes = {name: score.shape for name, score in scores.items()}
    total = sum(score.numel() for score in scores.values())
    ratios = torch.tensor([float((s > 5 * s.mean()).float().mean()) for s in scores.values()], dtype=torch.float64)
    sizes = torch.tensor([s.numel() for s in scores.values()], dtype=torch.float64)
    raised = (ratios - ratios.min()) / (ratios.max() - ratios.min()) * 2 * 0.08
    densities = raised - (raised * sizes).sum() / total + 0.3
    keep = round(0.3 * total)
    found = [group.keep for group in Owl().groups(shapes, keep, scores)]
    assert sum(found) == keep
    assert found == sorted(found)
    assert all(abs(count - float(d * n)) <= 1 for count, d, n in zip(found, densities, sizes, strict=True))


def test_outliers_among_what_is_left_give_nested_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    previous = {"a": torch.ones(20, 20).bool(), "b": torch.ones(40, 20).bool()}
    shapes = {name: mask.shape for name, mask in previous.items()}
    for keep in range(1150, 300, -50):
        scores = {
            name: (torch.randn(mask.shape, generator=generator) ** 4).masked_fill(~mask, -torch.inf)
            for name, mask in previous.items()
        }
        groups = Owl(3.0, 0.1).groups(shapes, keep, scores)
        masks = {name: mask for group in groups for name, mask in group.select(scores).items()}
        assert sum(int(mask.sum()) for mask in masks.values()) == keep
        assert all(bool((mask <= previous[name]).all()) for name, mask in masks.items())
        previous = masks


def test_owl_leaves_a_tenth_of_the_mean_density_everywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    flat, tailed = torch.rand(40, 50, generator=generator), torch.randn(40, 50, generator=generator) ** 6
    scores = {"flat": flat, "tailed": tailed.abs()}
    keeps = {g.names[0]: g.keep for g in Owl().groups({n: s.shape for n, s in scores.items()}, 100, scores)}
    assert sum(keeps.values()) == 100
    assert 0 < keeps["flat"] < 20


def test_illegal_owl() -> None:
    for fields in ({"threshold": 0.0}, {"threshold": float("nan")}, {"spread": -0.1}, {"spread": 1.0}):
        with pytest.raises(ValueError, match=rf"distribution\.{next(iter(fields))}="):
            Owl(**fields)

"""Batches are a function of seed and number; nothing is dropped, nothing comes twice, and padding says where it is."""

from collections import Counter
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.batches import (
    WINDOW,
    Example,
    LengthGroupedBatches,
    Loader,
    choices,
    evaluation_batches,
    sequences,
)

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@settings(deadline=None, max_examples=40)
@given(LENGTHS, st.integers(1, 9), st.integers(0, 2**32), st.integers(0, 130))
def test_a_later_start_continues_the_same_stream(lengths: list[int], batch: int, seed: int, start: int) -> None:
    whole = LengthGroupedBatches(lengths, batch, 130, seed)
    rest = LengthGroupedBatches(lengths, batch, 130, seed, start=start)
    assert list(whole)[start:] == list(rest)
    assert len(rest) == len(whole) == 130


@settings(deadline=None, max_examples=40)
@given(LENGTHS, st.integers(1, 9), st.integers(0, 2**32))
def test_nothing_is_dropped_and_every_batch_is_full(lengths: list[int], batch: int, seed: int) -> None:
    drawn = list(LengthGroupedBatches(lengths, batch, 2 * WINDOW, seed))
    assert {len(indices) for indices in drawn} == {batch}
    counts = Counter(index for indices in drawn for index in indices)
    times = [counts[index] for index in range(len(lengths))]
    assert max(times) - min(times) <= 1


@settings(deadline=None, max_examples=30)
@given(LENGTHS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 9))
def test_parts_of_a_step_make_up_its_batch(
    lengths: list[int], size: int, accumulate: int, world: int, seed: int
) -> None:
    batch = size * accumulate * world
    whole = LengthGroupedBatches(lengths, batch, 7, seed)
    ranks = [list(LengthGroupedBatches(lengths, batch, 7, seed, accumulate, rank, world)) for rank in range(world)]
    assert all(len(micros) == 7 * accumulate for micros in ranks)
    for step, expected in enumerate(whole):
        micros = [micro for rank in ranks for micro in rank[step * accumulate : (step + 1) * accumulate]]
        assert all(len(micro) == size for micro in micros)
        assert sorted(index for micro in micros for index in micro) == sorted(expected)


def test_batches_group_by_length_and_come_in_random_order() -> None:
    lengths = torch.randint(5, 200, (1000,), generator=torch.Generator().manual_seed(0)).tolist()
    batches = list(LengthGroupedBatches(lengths, 8, WINDOW, seed=0))
    longest = [max(lengths[index] for index in batch) for batch in batches]
    padded = sum(8 * length for length in longest)
    assert padded < 1.06 * sum(lengths[index] for batch in batches for index in batch)
    assert longest != sorted(longest)


def test_seeds_epochs_and_windows_differ() -> None:
    first, second = (list(LengthGroupedBatches([1] * 400, 8, 2 * WINDOW, seed)) for seed in (0, 1))
    assert {frozenset(batch) for batch in first}.isdisjoint(frozenset(batch) for batch in second)
    assert first[:WINDOW] != first[WINDOW:]


def test_the_order_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    example = Example([[1, 2]], None, 0)
    loader = Loader([example] * 20, LengthGroupedBatches([2] * 20, 4, 9, 0), lambda rows: sequences(rows, 0))
    assert len(list(loader)) == len(loader) == 9
    assert torch.equal(before, torch.get_rng_state())


def test_two_iterations_of_a_loader_do_not_disturb_each_other() -> None:
    examples = [Example([[index]], None, index) for index in range(20)]
    loader = Loader(examples, LengthGroupedBatches([1] * 20, 4, 9, 0), lambda rows: sequences(rows, 0))
    whole = [batch["labels"].tolist() for batch in loader]
    running = iter(loader)
    seen = [batch["labels"].tolist() for batch in islice(running, 3)]
    list(loader)
    assert seen + [batch["labels"].tolist() for batch in running] == whole


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 9), st.integers(1, 5))
def test_evaluation_sees_each_example_once(lengths: list[int], batch: int, world: int) -> None:
    ranks = [evaluation_batches(lengths, batch, rank, world) for rank in range(world)]
    assert sorted(i for batches in ranks for indices in batches for i in indices) == list(range(len(lengths)))
    assert all(0 < len(indices) <= max(batch, 2) for batches in ranks for indices in batches)
    if len(lengths) >= world:
        assert len({len(batches) for batches in ranks}) == 1


def test_evaluation_is_sorted_by_length() -> None:
    assert evaluation_batches([5, 1, 4, 2, 3], 2) == [[1, 3], [4, 2], [0]]


def test_sequences_pads_to_the_longest() -> None:
    batch = sequences([Example([[5, 6, 7]], [[0, 0, 1]], 1), Example([[8]], [[0]], 0)], padding=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert batch["labels"].tolist() == [1, 0]


def test_choices_lie_below_each_other() -> None:
    batch = choices([Example([[5], [6, 7]], None, 1), Example([[8], [9], [4]], None, 2)], padding=0)
    assert batch["input_ids"].tolist() == [[[5, 0]], [[6, 7]], [[8, 0]], [[9, 0]], [[4, 0]]]
    assert batch["attention_mask"].tolist() == [[[1, 0]], [[1, 1]], [[1, 0]], [[1, 0]], [[1, 0]]]
    assert batch["present"].tolist() == [[True, True, False], [True, True, True]]
    assert batch["labels"].tolist() == [1, 2]
    assert "token_type_ids" not in batch


@pytest.mark.parametrize(("batch", "accumulate", "world"), [(10, 4, 1), (6, 2, 2), (0, 1, 1)])
def test_illegal_batch_that_cannot_be_split(batch: int, accumulate: int, world: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size={batch} .*{accumulate} micro-batches .*{world} devices"):
        LengthGroupedBatches([1, 2], batch, 5, 0, accumulate, 0, world)


def test_illegal_no_data() -> None:
    with pytest.raises(ValueError, match="no examples"):
        LengthGroupedBatches([], 4, 5, 0)

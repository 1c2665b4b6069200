"""Packing, zeroing and checking by masks."""

import math

import pytest
import torch

from sparsity.masks import leaks, pack, unpack, zero_

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def bits(tensor: torch.Tensor) -> list[int]:
    return tensor.contiguous().view(torch.uint8).flatten().tolist()


def test_pack_by_hand() -> None:
    assert pack(torch.tensor([1, 0, 0, 0, 0, 0, 0, 0, 1, 1]).bool()).tolist() == [1, 3]
    assert pack(torch.tensor([[0, 1, 0, 0], [1, 0, 0, 1]]).bool()).tolist() == [2 + 16 + 128]


def test_pack_every_byte() -> None:
    masks = torch.tensor([[byte >> place & 1 for place in range(8)] for byte in range(256)]).bool()
    assert pack(masks).tolist() == list(range(256))
    assert pack(masks).dtype == torch.uint8


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (7,), (8,), (9,), (3, 5), (2, 3, 4), (129, 65)])
def test_unpack_is_the_inverse(shape: tuple[int, ...]) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.3
    packed = pack(mask)
    assert packed.shape == (math.ceil(mask.numel() / 8),)
    found = unpack(packed, mask.shape)
    assert found.dtype == torch.bool
    assert torch.equal(found, mask)


def test_pack_follows_the_shape_and_not_the_memory() -> None:
    mask = torch.rand(6, 10, generator=torch.Generator().manual_seed(0)) < 0.3
    assert torch.equal(pack(mask.t()), pack(mask.t().contiguous()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_by_hand(dtype: torch.dtype) -> None:
    tensor = torch.tensor([1.5, -2.0, math.inf, -math.inf, math.nan, -0.0, 5e-8, -3.0], dtype=dtype)
    kept = zero_(tensor.clone(), torch.ones(8).bool())
    assert bits(kept) == bits(tensor)
    zeroed = zero_(tensor.clone(), torch.zeros(8).bool())
    assert bits(zeroed) == [0] * len(bits(tensor))  # +0.0, also where -x * 0 would be -0.0 and inf * 0 would be NaN
    half = zero_(tensor.clone(), torch.tensor([1, 0, 1, 0, 1, 0, 1, 0]).bool())
    assert bits(half[::2]) == bits(tensor[::2])
    assert bits(half[1::2]) == [0] * (len(bits(tensor)) // 2)


def test_zero_works_in_place_whatever_the_strides_and_outside_autograd() -> None:
    parameter = torch.nn.Parameter(torch.ones(4, 6))
    mask = torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    assert zero_(parameter, mask) is parameter
    assert torch.equal(parameter.detach(), mask.float())
    assert parameter.is_leaf
    transposed = torch.ones(6, 4).t()
    assert torch.equal(zero_(transposed, mask), mask.float())


def test_leaks_by_hand() -> None:
    mask = torch.tensor([1, 1, 0, 0, 0, 0, 0, 1]).bool()
    weight = torch.nn.Parameter(torch.tensor([1.0, 0.0, 0.0, -0.0, 1e-45, math.nan, -2.0, math.inf]))
    assert int(leaks(weight, mask)) == 3
    zero_(weight, mask)
    assert int(leaks(weight, mask)) == 0
    assert leaks(weight, mask).shape == ()


@pytest.mark.parametrize("numel", [1, 2, 4])
def test_illegal_unpack(numel: int) -> None:
    with pytest.raises(ValueError, match=rf"shape \(17,\) has 3 packed bytes, not {numel}"):
        unpack(torch.zeros(numel, dtype=torch.uint8), torch.Size([17]))

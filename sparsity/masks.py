"""What can be done with a mask: pack it, unpack it, zero by it, check it. A mask is a bool tensor, True = kept."""

import torch
from torch import Tensor
from torch.nn.functional import pad

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

# Times eight bytes of 0 or 1, read as one little-endian integer, it gathers them in the top byte, the first one lowest.
_GATHER = 0x0102040810204080


def pack(mask: Tensor) -> Tensor:
    """Returns a uint8 tensor of one dimension with eight places a byte, the first one lowest, padded with zeros."""
    flat = mask.reshape(-1)
    eights = pad(flat.view(torch.uint8), (0, -flat.numel() % 8)).view(torch.int64)
    return (eights * _GATHER >> 56).to(torch.uint8)


def unpack(bits: Tensor, shape: torch.Size) -> Tensor:
    """Returns the mask that `pack` was given.

    Raises:
        ValueError: if there are not as many bits as the shape needs.
    """
    if bits.numel() != -(-shape.numel() // 8):
        raise ValueError(
            f"a mask of shape {tuple(shape)} has {-(-shape.numel() // 8)} packed bytes, not {bits.numel()}"
        )
    places = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return (bits.unsqueeze(1) >> places & 1).view(torch.bool).reshape(-1)[: shape.numel()].reshape(shape)


def zero_(tensor: Tensor, mask: Tensor) -> Tensor:
    """Sets a float tensor to +0.0 where the mask is False, in place and outside autograd, and returns it.

    Multiplies the bits as integers by 0 or 1: no -0.0 and no NaN can arise, and on a CPU it is faster than a fill.
    """
    tensor.detach().view(_INTEGERS[tensor.element_size()]).mul_(mask)
    return tensor


def leaks(weight: Tensor, mask: Tensor) -> Tensor:
    """Returns how many pruned weights are not zero, as a tensor of no dimensions: only reading it waits for a GPU."""
    return (weight.detach().ne(0) > mask).count_nonzero()

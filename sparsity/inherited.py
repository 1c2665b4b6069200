"""The zeros that a network comes with, because it has been pruned before."""

from torch import Tensor, nn

CHANCE = 1e-3  # share of zeros up to which they are accidents: a few in a million of random or of rounded numbers


def inherited(network: nn.Module) -> dict[str, Tensor]:
    """Returns the masks of the parameters that hold zeros, by name: False where they do.

    Of two dimensions or more, since biases begin as zeros. What is zero throughout waits for training, as the second
    matrix of LoRA, and the row of an embedding for padding is zero by design: neither is sparse. Nor is a network of
    which no more than `CHANCE` is zero.
    """
    padding = {
        id(module.weight): module.padding_idx
        for module in network.modules()
        if isinstance(module, nn.Embedding) and module.padding_idx is not None
    }
    masks, zeros, total = {}, 0, 0
    for name, weight in network.named_parameters():
        if weight.dim() >= 2:
            mask = weight.detach() != 0
            row = padding.get(id(weight))
            designed = 0 if row is None else int((~mask[row]).sum())
            kept = int(mask.sum())
            total += mask.numel()
            if 0 < kept < mask.numel() - designed:
                masks[name] = mask
                zeros += mask.numel() - designed - kept
    return masks if zeros > CHANCE * total else {}

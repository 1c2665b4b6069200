"""A mask as a small picture: where in a tensor the kept weights are."""

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def density_map(mask: Tensor, most: int) -> Tensor:
    """Returns the share of kept weights in each tile of a mask, float, of at most `most` rows and columns.

    Tiles are as equal as they can be; where they are not, neighbours share a row or column. A tensor of more than two
    dimensions is seen as a matrix with its first one as rows, one of a single dimension as one row.
    """
    matrix = mask.reshape(mask.shape[0] if mask.dim() > 1 else 1, -1).float()
    rows, columns = (min(size, most) for size in matrix.shape)
    return adaptive_avg_pool2d(matrix[None], (rows, columns))[0]

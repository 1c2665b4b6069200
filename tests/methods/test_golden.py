"""Loss curves stay as they are, method by method."""

import pytest

from tests.conftest import METHODS
from tests.methods.golden import FOLDER, losses


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_the_golden_file(method):
    expected = [float(line.split()[1]) for line in (FOLDER / f"{method}.txt").read_text().splitlines()]
    # Another processor rounds differently; another random number, mask or order is off by far more.
    assert losses(method) == pytest.approx(expected, abs=2e-5)


def test_every_golden_file_belongs_to_a_method():
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == METHODS

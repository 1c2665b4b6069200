"""Generated pages are what the program makes of its files."""

from docs.presets import FILE, row, table
from tests.conftest import ROOT


def test_the_table_of_presets_is_up_to_date():
    assert FILE.read_text() == table(), "run python -m docs.presets"


def test_a_row():
    cells = row(ROOT / "conf" / "method" / "rigl.yaml").split(" | ")
    assert cells[0] == "| `rigl`"
    assert cells[1:3] == ["Pretrained", "DropGrow"]
    assert "grow gradient_magnitude" in cells[3]
    assert "schedule Cosine(every=100, end=0.75)" in cells[3]
    assert cells[4] == "distribution erk"

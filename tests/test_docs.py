"""Generated pages are what the program makes of its files; written ones name every preset, and files that exist."""

import re
import shlex

import pytest

from docs.presets import FILE, row, table
from runs.settings import check
from tests.conftest import METHODS, ROOT, composed, first_job

PAGES = sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")


def test_the_table_of_presets_is_up_to_date():
    assert FILE.read_text() == table(), "run python -m docs.presets"


def test_a_row():
    cells = row(ROOT / "conf" / "method" / "rigl.yaml").split(" | ")
    assert cells[0] == "| `rigl`"
    assert cells[1:3] == ["Pretrained", "DropGrow"]
    assert "grow gradient_magnitude" in cells[3]
    assert "schedule Cosine(every=100, end=0.75)" in cells[3]
    assert cells[4] == "distribution erk"


def presets(text):
    """The names in the first column of a page's table of presets."""
    tables = re.findall(r"^\| preset \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [
        name for lines in tables for line in lines.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]


def test_every_preset_is_on_one_page():
    named = [name for page in PAGES for name in presets(page.read_text())]
    assert sorted(named) == METHODS


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).is_file(), target


@pytest.mark.parametrize("page", [page for page in PAGES if page != FILE], ids=lambda page: page.name)
def test_the_tests_that_a_page_names_exist(page):
    for folder, name in re.findall(r"`(?:(tests/[\w/]*/))?(test_\w+\.py)`", page.read_text()):
        found = [ROOT / folder / name] if folder else list((ROOT / "tests").rglob(name))
        assert found, name
        assert all(path.is_file() for path in found), folder + name


def test_commands_compose():
    text = "\n".join(page.read_text() for page in PAGES)
    commands = re.findall(r"^python train\.py (.*)$", text, re.MULTILINE)
    assert commands
    for command in commands:
        overrides = first_job(shlex.split(command, comments=True))
        check(composed(*overrides), overrides)


def test_every_task_has_a_row_in_the_table_of_data_sets():
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", (ROOT / "docs" / "data.md").read_text(), re.MULTILINE)
    tasks = {path.stem for path in (ROOT / "conf" / "task").glob("*.yaml")}
    assert tasks <= {name for name, _ in rows}
    for name, cells in rows:
        *_, metrics, command = cells.split(" | ")
        overrides = shlex.split(command.strip().strip("`"))[2:]
        config = composed(*overrides)
        check(config, overrides)
        assert config.task.name == name
        first = next(iter(config.task.module.get("metrics") or {"perplexity" if "mlm" in name else "accuracy": None}))
        assert metrics.lower().startswith(first)


def test_every_page_is_linked_from_the_readme():
    linked = set(LINK.findall((ROOT / "README.md").read_text()))
    assert {f"docs/{page.name}" for page in PAGES} <= linked

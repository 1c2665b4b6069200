"""The rules that keep the code base simple: who imports whom, what files are called, how long the entry point is."""

import ast
import re
import subprocess
import sys

import pytest

from tests.conftest import METHODS, ROOT

OURS = {"callbacks", "hydra_plugins", "models", "results", "runs", "sparsity", "tasks"}
MAY_IMPORT = {
    "sparsity": {"torch"},
    "callbacks": {"sparsity", "torch", "lightning", "wandb", "wandb_workspaces", "optuna"},
    "models": {"torch", "transformers", "peft", "tokenizers", "safetensors", "huggingface_hub"},
    "tasks": {"models", "torch", "lightning", "datasets", "torchmetrics", "transformers", "numpy", "scipy", "sklearn"}
    | {"joblib", "huggingface_hub"},
    "runs": {"omegaconf", "hydra"},
    "hydra_plugins": {"runs", "omegaconf", "hydra", "ray", "submitit", "optuna", "pandas"},
    "results": {"runs", "omegaconf", "hydra", "yaml", "numpy", "pandas", "scipy", "matplotlib", "jinja2"},
}
FILES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def imported(path) -> set[str]:
    """Top-level names of what a file imports, wherever in the file it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    foreign = imported(path) - set(sys.stdlib_module_names) - {package}
    assert foreign <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_named_after_its_idea_and_says_it(path):
    assert path.stem not in {"utils", "helpers", "common", "base", "core", "misc"}
    assert len(path.read_text().splitlines()) <= 250
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_classes_are_abstract_or_final(path):
    """A class that inherits is final unless it is abstract; a final one has no heirs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and node.bases:
            bases = {ast.unparse(base) for base in node.bases}
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            plain = bases & {"ABC", "Protocol", "Exception", "RuntimeError", "ValueError", "NamedTuple"}
            assert plain or "final" in decorators, f"{node.name} is neither abstract nor final"


def test_the_entry_point_is_short_and_names_no_method_task_or_model():
    text = (ROOT / "train.py").read_text()
    assert len(text.splitlines()) < 80
    choices = {path.stem for group in ("task", "model") for path in (ROOT / "conf" / group).glob("*.yaml")} | set(
        METHODS
    )
    assert not choices & set(re.findall(r"\w+", text))


def test_the_reports_entry_point_is_short_too():
    assert len((ROOT / "report.py").read_text().splitlines()) < 80


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_linter_formatter_and_type_checker_are_content(command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

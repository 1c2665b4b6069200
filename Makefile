# make run: a sparse model on the embedded task.  make test: the test suite.  Both make .venv first, once.
PYTHON ?= python3

run: .venv/ready
	.venv/bin/python train.py method=rigl sparsity=0.8

test: .venv/ready
	.venv/bin/python -m pytest -n auto --dist loadgroup

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: run test

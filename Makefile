# The two commands of the README are `make run` and `make test`. Each makes .venv first and is quick the
# second time: a stamp file says that the environment is newer than pyproject.toml.

VENV_PYTHON = .venv/bin/python
PREPARE = sh resources/install/environment.sh
REASONS = pyproject.toml resources/install/environment.sh

.PHONY: help run test lint build clean

help:
	@echo "make run     open the window"
	@echo "make test    run every test"
	@echo "make lint    check format, lint and types"
	@echo "make build   build the one-folder program into dist/ and let it test itself"
	@echo "make clean   remove everything that was made here, .venv too"

run: .venv/ready-run
	$(VENV_PYTHON) main.py

test: .venv/ready-test
	$(VENV_PYTHON) -m pytest $(TESTS)

lint: .venv/ready-test
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy

build: .venv/ready-build
	$(VENV_PYTHON) -m PyInstaller --noconfirm --clean build.spec
	dist/sample-explorer/sample-explorer --self-test

.venv/ready-%: $(REASONS)
	$(PREPARE) $*
	@touch $@

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The two commands of the README are `make run` and `make test`. Each makes .venv first and is quick the
# second time: a stamp file says that the environment is newer than pyproject.toml.

VENV_PYTHON = .venv/bin/python
PREPARE = sh resources/install/environment.sh
REASONS = pyproject.toml resources/install/environment.sh

# The system on which the Debian package is proved; root is asked for only there.
SUITE = bookworm
AS_ROOT = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help run test lint build build-cuda packages package package-cuda clean

help:
	@echo "make run           open the window"
	@echo "make test          run every test"
	@echo "make lint          check format, lint and types"
	@echo "make build         build the one-folder program into dist/ and let it test itself"
	@echo "make build-cuda    the same for NVIDIA GPUs"
	@echo "make package       make the Linux packages and prove them in a clean $(SUITE), which needs root"
	@echo "make package-cuda  the same for NVIDIA GPUs"
	@echo "make clean         remove everything that was made here, .venv too"

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

build-cuda: .venv/ready-build
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --editable ".[build,cuda]"
	$(VENV_PYTHON) -m PyInstaller --noconfirm --clean build.spec -- --cuda
	dist/sample-explorer-cuda/sample-explorer --self-test

packages: build
	$(VENV_PYTHON) resources/install/linux.py dist/sample-explorer

package: packages .venv/ready-test
	$(AS_ROOT) $(VENV_PYTHON) -m tests.installed dist/sample-explorer_*.deb --suite $(SUITE)

package-cuda: build-cuda .venv/ready-test
	$(VENV_PYTHON) resources/install/linux.py dist/sample-explorer-cuda
	$(AS_ROOT) $(VENV_PYTHON) -m tests.installed dist/sample-explorer-cuda_*.deb --suite $(SUITE)

.venv/ready-%: $(REASONS)
	$(PREPARE) $*
	@touch $@

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

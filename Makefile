# The two commands of the README are `make run` and `make test`. Each makes .venv first and is quick the
# second time: a stamp file says that the environment is newer than pyproject.toml.

VENV_PYTHON = .venv/bin/python
PREPARE = sh resources/install/environment.sh
REASONS = pyproject.toml resources/install/environment.sh resources/install/progress.sh

# The system on which the Debian package is proved; root is asked for only there.
SUITE = bookworm
AS_ROOT = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PROVE = $(AS_ROOT) $(VENV_PYTHON) -m tests.installed
FREEZE = $(VENV_PYTHON) -m PyInstaller --noconfirm --clean build.spec

# One environment serves all targets, and two pips must not meet in it.
.NOTPARALLEL:

.PHONY: help run test lint build build-cuda packages packages-cuda package package-cuda clean

help:
	@echo "make run           open the window"
	@echo "make test          run every test"
	@echo "make lint          check format, lint and types"
	@echo "make build         build the one-folder program into dist/ and let it test itself"
	@echo "make build-cuda    the same for NVIDIA GPUs"
	@echo "make packages      make the Linux packages"
	@echo "make package       make the Linux packages and prove them in a clean $(SUITE), which needs root"
	@echo "make package-cuda  the same for NVIDIA GPUs"
	@echo "make clean         remove everything that was made here, .venv too"

run: .venv/ready-run
	$(VENV_PYTHON) main.py

test: .venv/ready-test
	$(VENV_PYTHON) -m pytest $(TESTS)
	$(if $(TESTS),,$(VENV_PYTHON) -m tests.fonts)

lint: .venv/ready-test
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy

build: .venv/ready-build
	$(FREEZE)
	dist/sample-explorer/sample-explorer --self-test

build-cuda: .venv/ready-build-cuda
	$(FREEZE) -- --cuda
	dist/sample-explorer-cuda/sample-explorer --self-test

packages: .venv/ready-packages build
	$(VENV_PYTHON) resources/install/linux.py dist/sample-explorer

packages-cuda: .venv/ready-packages-cuda build-cuda
	$(VENV_PYTHON) resources/install/linux.py dist/sample-explorer-cuda

package: needs-package packages
	$(PROVE) dist/sample-explorer_*.deb --suite $(SUITE)

package-cuda: needs-package-cuda packages-cuda
	$(PROVE) dist/sample-explorer-cuda_*.deb --suite $(SUITE)

# Asked every time, whatever a stamp says: without debootstrap minutes of work would end in nothing.
needs-%:
	$(PREPARE) $*

.venv/ready-%: $(REASONS)
	$(PREPARE) $*
	@touch $@

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

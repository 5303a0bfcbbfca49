"""Start the Sample Explorer from a checkout or from a packaged program."""

import multiprocessing
import sys

if __name__ == "__main__":
    # First of all: in a packaged program the engine process starts here too and opens no window.
    multiprocessing.freeze_support()

    from explorer.__main__ import main

    sys.exit(main())

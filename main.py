"""Start the Sample Explorer from a checkout or from a packaged program."""

import sys

if __name__ == "__main__":
    from explorer import interrupt

    # First of all, Ctrl+C: whatever is loaded from here on takes its time.
    interrupt.end_at_once()

    import multiprocessing

    # In a packaged program the engine process starts here too and opens no window.
    multiprocessing.freeze_support()

    from explorer.__main__ import main

    code = main()
    interrupt.end_at_once()
    sys.exit(code)

"""Start the Sample Explorer from a checkout or from a packaged program."""

if __name__ == "__main__":
    try:
        # First of all, Ctrl+C: whatever is loaded from here on takes its time.
        from explorer.system import interrupt

        interrupt.end_at_once()
    except KeyboardInterrupt:
        import os

        os._exit(130)

    import multiprocessing

    # In a packaged program the engine process starts here too and opens no window.
    multiprocessing.freeze_support()

    from explorer.__main__ import start

    start()

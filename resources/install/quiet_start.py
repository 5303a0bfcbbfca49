"""The first thing that the packaged program runs: from here on Ctrl+C ends its start quietly.

PyInstaller's own preparations come after this and before main.py, and take their time.
"""

import os

try:
    from explorer.system import interrupt

    interrupt.end_at_once()
except KeyboardInterrupt:
    os._exit(130)

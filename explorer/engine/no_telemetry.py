"""Imported before onnxruntime, this keeps it from sending anything to anybody.

From 1.29 on its packages report to their maker on Linux and macOS too: a number is written into the
person's cache that tells this machine from others, and the first report goes out while the library
is being loaded, before ``disable_telemetry_events`` can be called. The variable is looked at then,
and once for the whole process.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

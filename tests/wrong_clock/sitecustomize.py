"""What a Python program needs that libfaketime is loaded into: its sleep is by a clock that this breaks."""

import os
import select
import time

time.sleep = lambda seconds: select.select([], [], [], max(seconds, 0))
os.environ.pop("LD_PRELOAD", None)  # trainers have the right time

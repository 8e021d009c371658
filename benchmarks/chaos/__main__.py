"""``python -m benchmarks.chaos``."""

import sys

from benchmarks.chaos.schedules import main

sys.exit(main())

"""``python -m flsl_mm`` is the command ``flsl-mm``."""

import sys

from .commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main())

"""``python -m flsl_mm.doctor``."""

import sys

from . import main

if __name__ == '__main__':
    sys.exit(main())

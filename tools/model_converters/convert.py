"""Convert weights between this package's layout, the official FLSL one and timm's."""

import sys

from flsl_mm.commands.convert import main

if __name__ == '__main__':
    sys.exit(main())

"""Look at the installed packages and name the command that mends what is wrong."""

import sys

from . import main

if __name__ == '__main__':
    sys.exit(main())

"""Check the installed packages and name the command that repairs what is wrong."""

import sys

from . import main

if __name__ == '__main__':
    sys.exit(main())

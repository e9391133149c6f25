"""Embed every image of a folder: the mean of its patch features and, if wanted, all of them; show neighbors."""

import sys

from flsl_mm.commands.embed import main

if __name__ == '__main__':
    sys.exit(main())

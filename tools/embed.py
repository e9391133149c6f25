"""Embed every image of a folder: the mean of its patch features and, if wanted, all of them; show neighbors."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['embed', *sys.argv[1:]]))

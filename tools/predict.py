"""Detect or segment images with a trained model: drawn images and a file of results, from its work folder alone."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['predict', *sys.argv[1:]]))

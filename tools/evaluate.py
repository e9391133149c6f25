"""Measure what frozen patch features know, beside the features that anybody has: random weights, color, position."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['evaluate', *sys.argv[1:]]))

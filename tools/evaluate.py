"""Measure what frozen patch features know, beside the features that anybody has: random weights, color, position."""

import sys

from flsl_mm.commands.evaluate import main

if __name__ == '__main__':
    sys.exit(main())

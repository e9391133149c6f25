"""Evaluate a checkpoint with MMEngine's Runner: detector or segmentor, or a backbone on DAVIS by label propagation."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))

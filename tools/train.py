"""Train a model with MMEngine's Runner: FLSL pretraining, or a detector or segmentor with an FLSL backbone."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))

"""Draw what pretraining feeds the network: teacher view, crops and their boxes, jitter, sampled queries."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['show-views', *sys.argv[1:]]))

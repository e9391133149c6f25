"""Draw the curves of a training run, or of several over each other, with their verdicts, as one PNG."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['plot-run', *sys.argv[1:]]))

"""Train or evaluate a detector of detectron2 with an FLSL backbone, from a LazyConfig."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['detectron2-train', *sys.argv[1:]]))

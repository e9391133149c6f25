"""Train or evaluate a detector of detectron2 with an FLSL backbone, from a LazyConfig."""

import sys

from flsl_mm.commands.detectron2_train import main

if __name__ == '__main__':
    sys.exit(main())

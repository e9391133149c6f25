"""Show what a model learned on images (clusters, colors, similarities, objects) or a mask followed through a video."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['visualize', *sys.argv[1:]]))

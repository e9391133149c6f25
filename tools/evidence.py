"""Train several configs and nothing on the same images for the same number of steps, and print one table of probes."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['evidence', *sys.argv[1:]]))

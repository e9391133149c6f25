"""Train several configs and nothing on the same images for the same number of steps, and print one table of probes."""

import sys

from flsl_mm.commands.evidence import main

if __name__ == '__main__':
    sys.exit(main())

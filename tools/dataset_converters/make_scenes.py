"""Write procedural scenes to the disk in a real data set's layout, to try everything out without a download."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['make-scenes', *sys.argv[1:]]))

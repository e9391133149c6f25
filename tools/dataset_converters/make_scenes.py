"""Write procedural scenes to the disk in a real data set's layout, to try everything out without a download."""

import sys

from flsl_mm.commands.make_scenes import main

if __name__ == '__main__':
    sys.exit(main())

"""Convert the UAVDT download to COCO's format: a JSON file per split, and a sheet of frames to check it by eye."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['uavdt2coco', *sys.argv[1:]]))

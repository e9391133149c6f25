"""Convert the UAVDT download to COCO's format: a JSON file per split, and a sheet of frames to check it by eye."""

import sys

from flsl_mm.commands.uavdt2coco import main

if __name__ == '__main__':
    sys.exit(main())

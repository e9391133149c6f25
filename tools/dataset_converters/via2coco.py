"""Convert annotations of VIA (VGG Image Annotator 1 and 2) to COCO's format, for training and for validation."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['via2coco', *sys.argv[1:]]))

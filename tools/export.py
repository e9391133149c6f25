"""Write a backbone for other programs (timm, safetensors, ONNX, torch.export) and check that it gives the same."""

import sys

from flsl_mm.commands.__main__ import main

if __name__ == '__main__':
    sys.exit(main(['export', *sys.argv[1:]]))

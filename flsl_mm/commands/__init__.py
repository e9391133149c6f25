"""The commands of ``flsl-mm``, one module each; imports every room, torch and MMEngine once options are read.

A command is a module with ``main(argv) -> int``; the first line of its docstring is its description.
"""

COMMANDS = (
    'train',
    'test',
    'predict',
    'evaluate',
    'visualize',
    'show-views',
    'embed',
    'export',
    'convert',
    'plot-run',
    'evidence',
    'make-scenes',
    'uavdt2coco',
    'via2coco',
    'detectron2-train',
    'doctor',
)
"""Names of the commands in the order of the overview; the module of ``plot-run`` is ``plot_run``."""

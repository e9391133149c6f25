"""What every room may use: writing files, optional MMEngine, missing compiled ops; imports mmengine, mmcv and torch."""

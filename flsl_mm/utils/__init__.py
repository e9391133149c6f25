"""Used by every room: atomic files, optional MMEngine, missing compiled ops; imports mmengine, mmcv and torch."""

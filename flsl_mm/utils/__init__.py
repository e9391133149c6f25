"""Used by every room: files, work folders, console, optional MMEngine, compiled ops; imports mmengine, mmcv and torch."""

"""Used by every room: files, work folder, console, optional MMEngine, compiled ops; imports mmengine, mmcv, torch."""

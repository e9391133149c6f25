# Counts iterations rather than epochs.
_base_ = './runtime.py'

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4000))
log_processor = dict(by_epoch=False)

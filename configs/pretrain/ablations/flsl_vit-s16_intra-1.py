# A heavier first level's loss.
_base_ = '../flsl_vit-s16.py'

model = dict(intra_weight=1.0)

# Without the first level's loss: queries are not pulled to their modes.
_base_ = '../flsl_vit-s16.py'

model = dict(intra_weight=0.0)

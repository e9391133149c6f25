# The baseline without patches, with position jitter: every mode is the mean token.
_base_ = '../flsl_vit-s16_jitter.py'

model = dict(self_scale=0.0, cross_scale=0.0, intra_weight=0.0, anchor_width=None)

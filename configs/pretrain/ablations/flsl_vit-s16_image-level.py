# The baseline without patches: with both scales at 0 every mode is the mean token, so one vector stands for an image,
# which is DINO (Caron et al., arXiv 2104.14294) on mean tokens with FLSL's views and volume term.
_base_ = '../flsl_vit-s16.py'

model = dict(self_scale=0.0, cross_scale=0.0, intra_weight=0.0)

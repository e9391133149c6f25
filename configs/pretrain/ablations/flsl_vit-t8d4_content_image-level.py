# The baseline without patches, with the same views: every mode is the mean token.
_base_ = '../flsl_vit-t8d4_content.py'

model = dict(self_scale=0.0, cross_scale=0.0, anchor_width=None, target_centering=None, teacher_temp=0.02)

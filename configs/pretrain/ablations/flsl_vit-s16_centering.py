# Against collapse: DINO's centering of the teacher's logits instead of the volume term.
_base_ = '../flsl_vit-s16.py'

model = dict(volume_weight=0.0, center_momentum=0.9)

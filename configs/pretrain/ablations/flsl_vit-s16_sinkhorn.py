# Against collapse: SwAV's assignment, which uses all prototypes equally, instead of the volume term (ours).
_base_ = '../flsl_vit-s16.py'

model = dict(volume_weight=0.0, assignment='sinkhorn')

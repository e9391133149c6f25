# DAVIS-2016 val, 20 videos with one object, masks of 0 and 255; lists below ImageSets/480p.
_base_ = 'flsl_vit-s16_davis2017.py'

test_dataloader = dict(dataset=dict(year=2016))

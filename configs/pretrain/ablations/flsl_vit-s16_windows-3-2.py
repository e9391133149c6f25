# Query sampling as the released code's defaults have it: windows of 3 and 2 tokens, the first member of each.
_base_ = '../flsl_vit-s16.py'

model = dict(
    data_preprocessor=dict(global_crops=dict(window=3), local_crops=dict(window=2)),
    window_member='first',
)

# Label propagation as in the original evaluation; the backbone is FLSLViT-S/16 unless a config says otherwise.
custom_imports = dict(imports=['flsl_mm', 'flsl_mm.vos'], allow_failed_imports=False)

model = dict(
    type='FLSLLabelPropagator',
    backbone=dict(type='FLSLViT', arch='small', patch_size=16, out_type='featmap', final_norm=True),
    checkpoint=None,  # tools/test.py puts its CHECKPOINT here
    previous_frames=7,
    radius=12,
    topk=5,
    temperature=0.1,
    mean=(0.485, 0.456, 0.406),
    std=(0.228, 0.224, 0.225),  # the original's red, not ImageNet's 0.229
    dtype='float32',
)
test_evaluator = dict(type='DAVISMetric')
test_cfg = dict()

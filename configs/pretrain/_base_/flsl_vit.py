# The method: ViT-S/16 student and teacher, K = 4096 prototypes (arXiv 2306.06203, section 5).
custom_imports = dict(imports=['flsl_mm', 'flsl_mm.selfsup'], allow_failed_imports=False)

model = dict(
    type='FLSL',
    backbone=dict(type='FLSLViT', arch='small', patch_size=16, out_type='tokens', drop_path_rate=0.1),
    head=dict(type='FLSLHead', hidden_channels=(2048, 2048), bottleneck_channels=256, num_prototypes=4096),
    data_preprocessor=dict(
        type='FLSLDataPreprocessor',
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        global_crops=dict(num=1, size=224, scale=(0.5, 1.0), window=2),
        local_crops=dict(num=2, size=96, scale=(0.05, 0.4), window=2),
    ),
    window_member='random',
    self_scale=0.1,
    cross_scale=0.2,
    intra_weight=0.03,
    inter_weight=1.0,
    volume_weight=5.0,
)

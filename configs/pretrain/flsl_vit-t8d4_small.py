# Few images and no GPU: a ViT of 4 blocks on patches of 8 pixels, some 900 steps, minutes of two CPU cores. It learns
# mostly where things stand; flsl_vit-t8d4_content, which builds on it, does not.
# From random weights the paper's recipe needs hundreds of thousands of steps. What is ours here, and what each part
# is worth, is in docs/evidence.md: the anchored target, Sinkhorn assignments, sharper mean shifts, a light jitter.
# Own images: --cfg-options train_dataloader.dataset.data_root=FOLDER
_base_ = ['_base_/flsl_vit.py', '_base_/imagenet.py', '_base_/schedule_300e.py', '_base_/runtime.py']

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dim=192, depth=4, num_heads=3), patch_size=8, img_size=96, drop_path_rate=0.0
    ),
    head=dict(hidden_channels=(512, 512), bottleneck_channels=64, num_prototypes=256),
    data_preprocessor=dict(
        global_crops=dict(size=96),
        local_crops=dict(size=48, scale=(0.15, 0.4)),
        photometric=dict(brightness=0.2, contrast=0.2, saturation=0.1, hue=0.02, gray_prob=0.0),
    ),
    self_scale=0.3,
    cross_scale=0.6,
    anchor_width=0.12,
    assignment='sinkhorn',
    volume_weight=0.0,
    teacher_temp=0.04,
    momentum=0.95,
)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    pin_memory=False,
    dataset=dict(data_root='data/images', size=96),
)
# Steps count, not epochs: 40 epochs of 360 images. With other numbers of images, change max_epochs.
train_cfg = dict(max_epochs=40)
optim_wrapper = dict(optimizer=dict(lr=1.6e-2))  # for a batch of 256, as everywhere: 1e-3 at 16
param_scheduler = [  # without the growing weight decay
    dict(type='FLSLWarmupCosineLR', warmup_ratio=0.1, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=5, max_keep_ckpts=1),
    schedule=dict(_delete_=True, type='FLSLScheduleHook', momentum=dict(type='cosine', start=0.95, end=0.99)),
    freeze_last_layer=dict(epochs=2),
)
env_cfg = dict(cudnn_benchmark=False)

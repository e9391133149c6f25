# ViT-S/16 at 128 pixels with the settings of flsl_vit-t8d4_jitter, for a GPU and minutes of it; not run.
_base_ = 'flsl_vit-t8d4_jitter.py'

model = dict(
    backbone=dict(arch=dict(embed_dim=384, depth=12, num_heads=6), patch_size=16, img_size=128, drop_path_rate=0.1),
    head=dict(hidden_channels=(2048, 2048), bottleneck_channels=256, num_prototypes=1024),
    data_preprocessor=dict(global_crops=dict(size=128), local_crops=dict(size=64)),
)
train_dataloader = dict(batch_size=256, num_workers=8, pin_memory=True, dataset=dict(size=128))
optim_wrapper = dict(optimizer=dict(lr=1e-3))

# The paper's recipe: ViT-S/16, ImageNet-1k, 300 epochs, 8 GPUs x 64 images.
# Own images: --cfg-options train_dataloader.dataset.data_root=FOLDER
_base_ = ['_base_/flsl_vit.py', '_base_/imagenet.py', '_base_/schedule_300e.py', '_base_/runtime.py']

# DAVIS-2017 val, 30 videos with 61 objects, ViT-S/16.
_base_ = ['_base_/label_propagation.py', '_base_/davis2017.py', '_base_/runtime.py']

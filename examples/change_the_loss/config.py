# The recipe for few images with a loss of one's own, which stands in the file beside this one.
_base_ = '../../configs/pretrain/flsl_vit-t8d4_small.py'
custom_imports = dict(imports=['flsl_mm', 'flsl_mm.selfsup', 'certain_flsl'], allow_failed_imports=False)

model = dict(type='CertainFLSL')

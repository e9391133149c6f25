# What detectron2's LazyConfig trainer reads of `train`; `max_iter`, `eval_period` and checkpoints follow the schedule.
from detectron2 import model_zoo

train = model_zoo.get_config('common/train.py').train
train.output_dir = ''  # work_dirs/<config name>
train.seed = 0
train.amp.enabled = True  # float16, on CUDA only
train.max_grad_norm = 0.0  # greatest norm of all gradients together; 0 does not clip

"""A frozen teacher beside a student: its gradient, its checkpoints, and the domains of both."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from depth.engine.checkpoint import load_checkpoint_file
from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.errors import ConfigError
from depth.engine.hooks.distillation_hook import DistillationHook, DistillationLoss
from depth.engine.runner import build_runner
from depth.engine.stored_config import config_to_data
from depth.models.data_preprocessor import DepthDataPreprocessor
from depth.registry import MODELS
from tests.engine.test_deployment import OPTIONS
from tests.shared import REPO

CONFIG = REPO / 'configs/synthetic/dpt_tiny_rooms.py'


class BrightnessTeacher(nn.Module):
    """Depth in metres is 1 + the red channel / 51; it has its own normalisation."""

    def __init__(self, prediction_type='metric'):
        super().__init__()
        self.data_preprocessor = DepthDataPreprocessor()
        self.depth_range = (1e-3, 5.5)
        self.prediction_type = prediction_type
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples, mode):
        assert not torch.is_grad_enabled()
        red = self.data_preprocessor.denormalize(inputs)[:, :1]
        depth = 1 + red / 51 * self.weight
        return depth if self.prediction_type == 'metric' else 3 / depth + 0.5


@pytest.mark.parametrize('teacher_type', ['metric', 'affine_invariant_disparity'])
@pytest.mark.parametrize('student_type', ['metric', 'affine_invariant_disparity'])
def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn(teacher_type, student_type):
    """Each normalises the image in its own way, and each predicts its own quantity."""
    own = DepthDataPreprocessor(mean=(127.5,) * 3, std=(127.5,) * 3, bgr_to_rgb=False)
    image = torch.randint(0, 256, (3, 16, 20), generator=torch.Generator().manual_seed(0))
    inputs = own(dict(inputs=[image.byte()]))['inputs']
    depth = (1 + image[2].float() / 51)[None, None]  # BGR: red is last
    loss = DistillationLoss(BrightnessTeacher(teacher_type), own)
    student = depth if student_type == 'metric' else 0.2 / depth + 0.1
    if (teacher_type, student_type) == ('metric', 'affine_invariant_disparity'):
        # Aligned as depth, the teacher's domain, so the offset of the student has to be 0.
        student = 0.2 / depth
    student.requires_grad_()
    value = loss(student, [None], inputs, student_type)
    worse = loss(student.detach().flip(-1), [None], inputs, student_type)
    assert value < 0.02 * worse
    worse_student = student.detach().flip(-1).requires_grad_()
    loss(worse_student, [None], inputs, student_type).backward()
    assert worse_student.grad.isfinite().all() and worse_student.grad.abs().sum() > 0


def test_the_teacher_is_no_part_of_the_loss():
    teacher = BrightnessTeacher()
    loss = DistillationLoss(teacher, DepthDataPreprocessor())
    assert not list(loss.parameters()) and not loss.state_dict()
    assert copy.deepcopy(loss)._unregistered.teacher is teacher


def test_the_hook_trains_a_student_and_leaves_no_trace_in_its_checkpoint(tmp_path):
    init_default_scope('depth')
    options = {key: value for key, value in OPTIONS.items() if 'lora' not in key}
    options.pop('optim_wrapper.constructor')
    options.pop('optim_wrapper.paramwise_cfg')
    options['max_iters'] = 2
    cfg = load_config(CONFIG, options)
    state = MODELS.build(cfg.model).state_dict()
    teacher = tmp_path / 'teacher.pth'
    torch.save(dict(meta=dict(cfg=config_to_data(cfg)), state_dict=state), teacher)
    cfg = load_config(CONFIG, options)
    cfg.custom_hooks = [
        *cfg.custom_hooks,
        dict(type='DistillationHook', checkpoint=str(teacher), loss=dict(type='SILogLoss')),
    ]
    check_config(cfg)
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'student'), 'student'
    runner = build_runner(cfg)
    runner.train()
    assert 'train/loss_distillation' in runner.message_hub.log_scalars
    content = load_checkpoint_file(tmp_path / 'student/iter_2.pth')
    assert content['state_dict'].keys() == state.keys()
    held = runner.model.extra_losses['distillation']._unregistered.teacher
    assert all(torch.equal(held.state_dict()[name], state[name]) for name in state)
    assert not held.training


def test_a_teacher_without_a_config_is_refused_in_words(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'bare.pth')
    with pytest.raises(ConfigError, match='carries no config'):
        DistillationHook(str(tmp_path / 'bare.pth')).build_teacher()
    with pytest.raises(FileNotFoundError):
        DistillationHook(str(tmp_path / 'missing.pth')).build_teacher()

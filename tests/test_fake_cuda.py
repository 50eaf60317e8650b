"""Losses, gradients and predictions on fake CUDA tensors: one device, no reads, no copies.

Nothing is computed, so the full-size models of all shipped configs take seconds each.
"""

import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.engine.hooks.distillation_hook import DistillationLoss
from depth.engine.message_hub import DeferredMessageHub
from depth.engine.param_groups import GroupingOptimWrapperConstructor
from depth.engine.step_guard import StepGuard
from depth.ops import ms_deform_attn_torch, use_backend
from tests.fake_cuda import (
    CUDA,
    Transfers,
    fake_batch,
    fake_cuda,
    fake_model,
    run_backward,
)
from tests.shared import REPO

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() and not hasattr(torch._C, '_ensureCUDADeviceGuardSet'),
    reason='this version of torch makes no fake CUDA tensors without a GPU',
)
METHODS = {
    'depthformer': 'configs/synthetic/depthformer_tiny_rooms_dgr_otdl.py',
    'binsformer': 'configs/synthetic/binsformer_tiny_rooms.py',
    'bts': 'configs/synthetic/bts_tiny_rooms.py',
    'adabins': 'configs/synthetic/adabins_tiny_rooms.py',
    'dpt': 'configs/synthetic/dpt_tiny_rooms.py',
    'newcrfs': 'configs/synthetic/newcrfs_tiny_rooms.py',
    'simipu': 'configs/synthetic/simipu_tiny_rooms.py',
    'depth_anything_3': 'configs/synthetic/depth_anything_3_tiny_rooms.py',
    'dinov3_dpt': 'configs/synthetic/dinov3_dpt_tiny_rooms.py',
    'mixed_labels': 'configs/synthetic/densedepth_r18_mixed_labels.py',
    'metric3d': 'configs/synthetic/metric3d_tiny_rooms.py',
    'moge': 'configs/synthetic/moge_tiny_rooms.py',
    'zoedepth': 'configs/synthetic/zoedepth_tiny_rooms_streets.py',
    'densedepth': 'configs/densedepth/densedepth_r18_rooms.py',
    'plane2depth': 'projects/Plane2Depth/configs/Plane2Depth/plane2depth_tiny_rooms.py',
    'sdconvtrans': 'projects/SDConvTrans/configs/SDConvTrans/sdconvtrans_tiny_rooms.py',
    'scaledepth': 'projects/ScaleDepth/configs/ScaleDepth/scaledepth_tiny_rooms_streets.py',
    'epcdepth': 'projects/EPCDepth/configs/synthetic/epcdepth_r18_streets_160x320.py',
}
SHIPPED = sorted(
    path.relative_to(REPO).as_posix()
    for pattern in ('configs/*/*.py', 'projects/*/configs/**/*.py')
    for path in REPO.glob(pattern)
    if '_base_' not in path.parts
)


def check_step_and_prediction(config, monkeypatch, dtype=None, with_gradients=True):
    """Run a training step's loss and gradients, then a prediction, and look for transfers."""
    cfg = load_config(REPO / config)
    with fake_model(cfg, monkeypatch) as model:
        # AdaBins' transformer asks for 129 patches and more.
        size = (352, 704) if 'configs/adabins/' in config else (192, 256)
        domains = cfg.model.decode_head.get('domains') or ['nyu']
        images, samples = fake_batch(2, *size, dataset=next(iter(domains)))
        trains = cfg.get('train_cfg') is not None
        model.train(trains)
        if cfg.model.decode_head.get('class_embeddings'):
            model.decode_head.has_embeddings = True  # made of texts, in a file that is not here
        if trains:
            with Transfers() as step:
                with torch.autocast('cuda', dtype, enabled=dtype is not None):
                    losses = model(images, samples, mode='loss')
                total, logged = model.parse_losses(losses)
                if with_gradients:
                    run_backward(total)
            assert step.names == []
            assert step.count > 100
            assert {value.device.type for value in logged.values()} == {'cuda'}
            if with_gradients and not cfg.get('find_unused_parameters'):
                parameters = [value for value in model.parameters() if value.requires_grad]
                assert all(parameter.grad is not None for parameter in parameters)
        model.eval()
        with torch.no_grad(), Transfers() as prediction:
            model(images, samples, mode='predict')
        assert prediction.names == []
        assert {sample.pred_depth.device.type for sample in samples} == {'cuda'}


@pytest.mark.parametrize('method', METHODS)
def test_a_step_stays_on_the_device(method, monkeypatch):
    # Gradients take longest and, but for those of our own operators, are PyTorch's.
    with_gradients = method == 'depthformer'
    check_step_and_prediction(METHODS[method], monkeypatch, torch.bfloat16, with_gradients)


@pytest.mark.parametrize('teacher', ['depth_anything_3', 'bts'])  # relative and metric depth
def test_distillation_stays_on_the_device(teacher, monkeypatch):
    student_cfg, teacher_cfg = (
        load_config(REPO / METHODS[name]) for name in ('densedepth', teacher)
    )
    with torch.device('meta'):
        teacher = build_without_weights(teacher_cfg).requires_grad_(False).eval()
    with fake_model(student_cfg, monkeypatch) as student:
        teacher._apply(lambda value: torch.empty_like(value, device=CUDA))
        loss = DistillationLoss(teacher, student.data_preprocessor)
        student.extra_losses['distillation'] = loss
        images, samples = fake_batch(2, 64, 96)
        student.train()
        # The normalisation's constants are buffers of both models, the range is their heads'.
        with Transfers() as step:
            losses = student(images, samples, mode='loss')
            student.parse_losses(losses)
        assert step.names == []
        assert any('distillation' in name for name in losses)


@pytest.mark.parametrize('method', ['depthformer', 'plane2depth', 'dinov3_dpt'])
def test_the_second_prediction_finds_all_constants(method, monkeypatch):
    """So that a CUDA graph can record it: no copy from the host is allowed then."""
    cfg = load_config(REPO / METHODS[method])
    # The Triton kernels make their constants where fake tensors do not reach.
    with fake_model(cfg, monkeypatch) as model, torch.no_grad(), use_backend('reference'):
        model.eval()
        images, samples = fake_batch(1, 64, 96)
        first, second = Transfers(with_constants=True), Transfers(with_constants=True)
        for transfers in (first, second):
            with transfers:
                model(images, samples, mode='tensor')
        assert first.names != []
        assert second.names == []


def test_the_torch_backend_of_deformable_attention_stays_on_the_device(monkeypatch):
    """Its operators are opaque above; deterministic runs on a GPU take it."""
    with fake_cuda(monkeypatch):
        value = torch.rand(2, 8 * 12 + 4 * 6, 2, 8, device=CUDA)
        locations = torch.rand(2, 30, 2, 2, 3, 2, device=CUDA)
        arguments = value, [8, 12, 4, 6], locations, locations[..., 0]
        with Transfers() as transfers:
            output = ms_deform_attn_torch._forward_op._init_fn(*arguments)
            ms_deform_attn_torch._backward_op._init_fn(torch.rand_like(output), *arguments)
        assert transfers.names == []
        assert transfers.count > 100


def test_the_guarded_fused_update_and_its_log_stay_on_the_device(monkeypatch):
    hub = DeferredMessageHub.get_instance('fake_cuda')
    with fake_cuda(monkeypatch):
        monkeypatch.setattr(torch.Tensor, 'backward', run_backward)
        init_default_scope('depth')
        model = nn.Sequential(nn.Conv2d(3, 4, 3, device=CUDA), nn.BatchNorm2d(4, device=CUDA))
        wrapper_cfg = dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
            clip_grad=dict(max_norm=1.0),
        )
        paramwise_cfg = dict(norm_decay_mult=0.0, bias_decay_mult=0.0)
        wrapper = GroupingOptimWrapperConstructor(wrapper_cfg, paramwise_cfg)(model)
        assert [group['fused'] for group in wrapper.optimizer.param_groups] == [True, True]
        wrapper.guard = StepGuard(model, limit=3)
        assert not wrapper.guard.waits
        for _ in range(2):  # the first makes the optimizer's state
            with Transfers(with_constants=True) as step:
                wrapper.guard.begin_window()
                loss = model(torch.rand(2, 3, 8, 8, device=CUDA)).square().mean()
                wrapper.update_params(loss)
                hub.update_scalar('train/loss', loss)
            assert step.names == []
        assert model[0].weight.grad is None  # the step was taken
        hub._waiting.clear()


@pytest.mark.long
@pytest.mark.parametrize('dtype', [None, torch.bfloat16], ids=['float32', 'bf16'])
@pytest.mark.parametrize('config', SHIPPED)
def test_every_shipped_config_stays_on_the_device(config, dtype, monkeypatch):
    check_step_and_prediction(config, monkeypatch, dtype)

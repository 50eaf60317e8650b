"""A LoRA training: exact resume, merged best checkpoints, published files with plain names."""

import numpy as np
import pytest
import torch

from depth.apis import inference_model, init_model
from depth.engine.config import load_config
from depth.engine.deployment import write_deployment_checkpoint
from depth.engine.runner import build_runner
from tests.shared import REPO

OPTIONS = {
    'model.backbone.lora': dict(rank=2, alpha=4, targets=['attn.qkv', 'mlp.fc1']),
    'model.backbone.model_args': dict(embed_dim=24, depth=4, num_heads=2, drop_path_rate=0.2),
    'model.decode_head.in_channels': (24, 24, 24, 24),
    'model.decode_head.post_process_channels': (8, 8, 8, 8),
    'model.decode_head.channels': 8,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.dataset.num_scenes': 4,
    'train_dataloader.dataset.image_size': (32, 32),
    'val_dataloader.dataset.num_scenes': 2,
    'val_dataloader.dataset.image_size': (32, 32),
    'train_cfg.val_interval': 2,
    'max_iters': 4,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.visualization.num_images': 0,
    'optim_wrapper.constructor': 'LayerDecayConstructor',
    'optim_wrapper.paramwise_cfg': dict(layer_decay=0.8),
    'visualizer.vis_backends': [dict(type='LocalVisBackend')],
}


def train(work_dir, **options):
    cfg = load_config(REPO / 'configs/synthetic/dpt_tiny_rooms.py', OPTIONS | options)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'lora_{work_dir.name}_{len(options)}'
    build_runner(cfg).train()


def read(path):
    return torch.load(path, weights_only=True)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('whole')
    train(work_dir)
    return work_dir


def test_a_resumed_lora_training_equals_the_uninterrupted_one(trained, tmp_path):
    train(tmp_path, resume=True, load_from=str(trained / 'iter_2.pth'))
    expected, resumed = read(trained / 'iter_4.pth'), read(tmp_path / 'iter_4.pth')
    start = read(trained / 'iter_2.pth')['state_dict']
    name = 'backbone.net.model.blocks.1.attn.qkv'
    assert not torch.equal(start[f'{name}.lora_up'], expected['state_dict'][f'{name}.lora_up'])
    assert torch.equal(start[f'{name}.weight'], expected['state_dict'][f'{name}.weight'])
    assert expected['state_dict'].keys() == resumed['state_dict'].keys()
    for key, value in expected['state_dict'].items():
        assert torch.equal(resumed['state_dict'][key], value), key
    for key, moments in expected['optimizer']['state'].items():
        assert torch.equal(resumed['optimizer']['state'][key]['exp_avg'], moments['exp_avg'])


def test_the_best_checkpoint_and_a_published_one_are_plain_networks(trained, tmp_path):
    image = np.random.RandomState(0).randint(0, 256, (32, 48, 3), np.uint8)
    last = init_model(trained / 'iter_4.pth')
    expected = inference_model(last, image).pred_depth
    published = tmp_path / 'published.pth'
    write_deployment_checkpoint(trained / 'iter_4.pth', published)
    plain = init_model(REPO / 'configs/synthetic/dpt_tiny_rooms.py', cfg_options=plain_options())
    for path in (published, next(trained.glob('best_abs_rel_*.pth'))):
        content = read(path)
        assert set(content['state_dict']) == set(plain.state_dict())
        assert (
            'optimizer' not in content and 'lora' not in content['meta']['cfg']['model']['backbone']
        )
        model = init_model(path)  # builds from the file's config: no LoRA layers
        assert set(model.state_dict()) == set(plain.state_dict())
    depth = inference_model(init_model(published), image).pred_depth
    assert (depth - expected).norm() < 1e-6 * expected.norm()


def plain_options():
    return {
        key: value
        for key, value in OPTIONS.items()
        if key.startswith('model.') and 'lora' not in key
    }


def test_a_file_without_a_config_cannot_be_published(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match='carries no config'):
        write_deployment_checkpoint(tmp_path / 'bare.pth', tmp_path / 'out.pth')

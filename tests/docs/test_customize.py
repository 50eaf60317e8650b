"""The parts that docs/customize.md tells a user to write, built and used from the page's own text."""

import re
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from depth.apis import init_model
from depth.datasets.transforms import SPATIAL_KEYS
from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.converters import write_converted
from depth.registry import CONVERTERS, DATASETS, MODELS, TRANSFORMS
from tests.shared import REPO
from tests.shared_process import run_python

PAGE = (REPO / 'docs/customize.md').read_text(encoding='utf-8')
FILES = dict(re.findall(r'```python\n# file: (\S+)\n(.*?)```', PAGE, flags=re.DOTALL))
HEAD_CONFIG = 'projects/InverseDepth/configs/inverse_depth_rooms.py'
PARTS_CONFIG = 'projects/MyParts/configs/my_parts_rooms.py'
DATA_CONFIG = 'projects/MyParts/configs/data_scans.py'


def write_examples(checkout):
    """Write the files of the page below ``checkout``, beside the shipped configs."""
    for name, content in FILES.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding='utf-8')
    (checkout / 'configs').symlink_to(REPO / 'configs')
    return checkout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return a folder with the page's files; what they register is forgotten afterwards."""
    for registry in (CONVERTERS, DATASETS, MODELS, TRANSFORMS):
        registry.import_from_location()
        monkeypatch.setattr(registry, '_module_dict', dict(registry.module_dict))
    monkeypatch.setattr(sys, 'path', list(sys.path))
    imported = set(sys.modules)
    yield write_examples(tmp_path / 'checkout')
    for name in set(sys.modules) - imported:
        if name.startswith('projects.'):
            del sys.modules[name]


@pytest.fixture
def page_config(checkout):
    """Return the config that uses the page's loss, backbone, neck, head and transform, and its training samples."""
    cfg = load_config(checkout / PARTS_CONFIG, {'train_dataloader.dataset.num_scenes': 2})
    check_config(cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset.to_dict())
    return cfg, [dataset[0], dataset[1]]


def unused_parameters(model):
    """Return the parameters without gradient; one would stop a training with several processes."""
    return [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_every_parameter_of_the_head_config_is_trained(checkout):
    cfg = load_config(checkout / HEAD_CONFIG, {'train_dataloader.dataset.num_scenes': 1})
    check_config(cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset.to_dict())
    model = init_model(cfg).train()
    losses = model(
        **model.data_preprocessor(pseudo_collate([dataset[0]]), training=True), mode='loss'
    )
    losses['loss_depth'].backward()
    assert unused_parameters(model) == []


def test_loss_backbone_neck_and_head_of_the_docs_learn_together(page_config):
    cfg, samples = page_config
    model = init_model(cfg).train()
    assert [
        type(module).__name__
        for module in (model.backbone, model.neck, model.decode_head.loss_decode)
    ] == [
        'StridedBackbone',
        'TopDownNeck',
        'InverseDepthLoss',
    ]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    values = []
    for _ in range(20):
        losses = model(
            **model.data_preprocessor(pseudo_collate(samples), training=True), mode='loss'
        )
        optimizer.zero_grad()
        losses['loss_depth'].backward()
        optimizer.step()
        values.append(losses['loss_depth'].item())
    assert values[-1] < 0.9 * values[0]
    assert unused_parameters(model) == []


def test_the_backbone_of_the_docs_tells_channels_and_strides(page_config):
    cfg, _ = page_config
    backbone = MODELS.build(cfg.model.backbone.to_dict())
    feats = backbone(torch.zeros(1, 3, 64, 96))
    assert backbone.out_channels == [feat.shape[1] for feat in feats]
    assert (
        backbone.out_strides
        == [64 // feat.shape[2] for feat in feats]
        == [96 // feat.shape[3] for feat in feats]
    )


def test_the_loss_of_the_docs_is_finite_without_ground_truth(page_config):
    cfg, _ = page_config
    loss = MODELS.build(cfg.model.decode_head.loss_decode.to_dict())
    pred = torch.tensor([[[[0.0, 2.0]]]], requires_grad=True)
    target = torch.tensor([[[[0.0, 4.0]]]])
    assert loss(pred, target, target > 0).item() == pytest.approx(0.25)
    empty = loss(pred, target, torch.zeros_like(target, dtype=torch.bool))
    empty.backward()
    assert empty.item() == 0
    assert not pred.grad.any()


def test_the_transform_of_the_docs_moves_everything(page_config):
    _, samples = page_config
    assert samples[0]['inputs'].shape == (3, 64, 128)
    assert samples[0]['data_samples'].gt_depth.shape == (64, 128)
    crop = TRANSFORMS.build(dict(type='RandomRows', height=3))
    depth = np.arange(20.0).reshape(5, 4)
    tops = set()
    for seed in range(10):
        results = dict(img=np.zeros((5, 4, 3), np.uint8), gt_depth=depth, cam_intrinsic=np.eye(3))
        results = crop(results | dict(rng=np.random.RandomState(seed)))
        top = -int(results['cam_intrinsic'][1, 2])
        assert np.array_equal(results['gt_depth'], depth[top : top + 3])
        tops.add(top)
    assert tops == {0, 1, 2}


def test_the_data_set_of_the_docs_reads_scans(checkout):
    room = checkout / 'data/scans/kitchen'
    for folder in ('color', 'depth'):
        (room / folder).mkdir(parents=True)
    cv2.imwrite(str(room / 'color/0001.png'), np.full((4, 6, 3), 7, np.uint8))
    cv2.imwrite(str(room / 'depth/0001.png'), np.full((4, 6), 6000, np.uint16))
    (room / 'camera.json').write_text('{"K": [[5, 0, 3], [0, 5, 2], [0, 0, 1]]}')
    cfg = load_config(
        checkout / DATA_CONFIG, {'train_dataloader.dataset.data_root': str(checkout / 'data/scans')}
    )
    check_config(cfg)
    (sample,) = DATASETS.build(cfg.train_dataloader.dataset.to_dict())
    assert sample['inputs'].shape == (3, 4, 6)
    assert (sample['data_samples'].gt_depth == 1.5).all()  # 6000 / 4000
    assert sample['data_samples'].intrinsics[0, 2] == 3
    assert sample['data_samples'].max_depth == 12.0


def test_the_converter_of_the_docs_fills_the_model(checkout, tmp_path):
    config = checkout / PARTS_CONFIG
    ours = init_model(load_config(config)).state_dict()
    renamed = {
        'backbone.stages.': 'encoder.',
        'neck.convs.': 'laterals.',
        'decode_head.conv.': 'depth.',
    }
    published = {'classifier.weight': torch.ones(2)}
    for name, value in ours.items():
        prefix = next(prefix for prefix in renamed if name.startswith(prefix))
        published[renamed[prefix] + name.removeprefix(prefix)] = torch.full_like(value, 0.01)
    torch.save(dict(state_dict=published), tmp_path / 'published.pth')
    target = tmp_path / 'ours.pth'
    assert write_converted(
        'inverse_depth', tmp_path / 'published.pth', target, config, root=checkout
    ) == [config]
    model = init_model(config, target)
    assert all((value == 0.01).all() for value in model.state_dict().values())

    torch.save(
        dict(state_dict=published | {'extra.weight': torch.ones(2)}), tmp_path / 'published.pth'
    )
    with pytest.raises(ValueError, match=r'extra\.weight'):
        write_converted('inverse_depth', tmp_path / 'published.pth', target, config, root=checkout)


def test_the_table_of_spatial_keys_is_complete():
    rows = [line for line in PAGE.splitlines() if line.startswith('| `')]
    for key, rule in SPATIAL_KEYS.items():
        assert any(f'`{key}`' in row and f'`{rule.kind}`' in row for row in rows), key


def test_the_links_inside_the_page_lead_to_headings():
    headings = re.findall(r'^#+ (.+)$', PAGE, flags=re.MULTILINE)
    anchors = {
        re.sub(r'[^a-z0-9 -]', '', heading.lower()).replace(' ', '-') for heading in headings
    }
    assert set(re.findall(r'\]\(#([^)]+)\)', PAGE)) <= anchors


@pytest.mark.slow
def test_the_head_of_the_docs_trains(tmp_path):
    config = write_examples(tmp_path / 'checkout') / HEAD_CONFIG
    options = [
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
        'val_dataloader.dataset.num_scenes=2',
    ]
    training = run_python(
        [sys.executable, str(REPO / 'tools/train.py'), str(config), '--cfg-options', *options],
        cwd=tmp_path,  # elsewhere: projects are found from the place of the config
    )
    assert training.returncode == 0, training.stderr
    assert (tmp_path / 'work_dirs/inverse_depth_rooms/iter_2.pth').is_file()

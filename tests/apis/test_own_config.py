"""The config of a training on a folder: any method, any start, the folder's data."""

import cv2
import numpy as np
import pytest
import torch

import depth
from depth.apis.own_config import choose_method, write_config
from depth.data_tools.own_data import examine_folder
from depth.datasets import SampleIndex
from depth.engine.checkpoint import save_atomically
from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_to_data
from depth.registry import DATASETS
from tests.parity.cases import load_case, published_state


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Four scenes of five pairs in two sizes, 3 m deep."""
    root = tmp_path_factory.mktemp('own') / 'rooms'
    for scene in ('attic', 'hall', 'kitchen', 'office'):
        for index in range(5):
            size = (120, 160) if index else (130, 180)
            for kind in ('images', 'depth'):
                (root / kind / scene).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(
                str(root / f'images/{scene}/{index}.png'), np.full((*size, 3), 90, np.uint8)
            )
            cv2.imwrite(str(root / f'depth/{scene}/{index}.png'), np.full(size, 2900, np.uint16))
    return root


def write(folder, path, model=None, start=None):
    plan = examine_folder(folder)
    return write_config(plan, path, choose_method(model, start), start)


def sample_sizes(cfg):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    samples = [dataset[SampleIndex(index, (0, index))] for index in range(3)]
    assert float(samples[0]['data_samples'].gt_depth.max()) == pytest.approx(2.9)
    return {tuple(sample['inputs'].shape[1:]) for sample in samples}


@pytest.mark.parametrize(
    ('model', 'size', 'batch_size'),
    [
        (None, (96, 160), 8),
        ('depthformer_swint_w7_nyu', (96, 160), 8),
        ('depth_anything_v2_vits_folder', (112, 154), 8),
        ('bts_r50_kitti_benchmark_24e', (96, 160), 8),
        ('newcrfs_tiny_rooms', (96, 160), 8),
        ('zoedepth_n_beitl', (120, 160), 4),
        ('scaledepth_swin_tiny_NYU_480x480', (96, 160), 6),
    ],
)
def test_any_method_gets_the_data_of_the_folder(folder, tmp_path, model, size, batch_size):
    cfg = write(folder, tmp_path / 'own.py', model)
    assert sample_sizes(cfg) == {size}
    assert cfg.train_dataloader.batch_size == batch_size
    assert cfg.max_depth == cfg.val_evaluator.max_depth == 3.0
    heads = cfg.model.decode_head
    assert heads.get('max_depth', 3.0) == 3.0
    assert cfg.train_cfg.max_iters == 600
    for split, count in (('train', 10), ('val', 5), ('test', 5)):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert len(DATASETS.build(dataset)) == count
    assert len((tmp_path / 'own.py').read_text().splitlines()) < 90


def test_the_schedule_keeps_its_shape_and_the_rate_fits_the_batch(folder, tmp_path):
    published = depth.get_config('depthformer_swint_w7_nyu')
    cfg = write(folder, tmp_path / 'own.py', 'depthformer_swint_w7_nyu')
    (scheduler,) = cfg.param_scheduler
    assert scheduler.warmup_iters / 600 == pytest.approx(
        published.param_scheduler.warmup_iters / published.train_cfg.max_iters, abs=2e-3
    )
    assert scheduler.max_iters == 600
    # 8 images a step where 16 are published, by the square root rule.
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(6e-5 / 2**0.5, rel=1e-2)
    assert cfg.auto_scale_lr.base_batch_size == 8
    shorter = load_config(
        tmp_path / 'own.py', {'max_iters': 50, 'max_depth': 7.0, 'crop_size': (64, 96)}
    )
    assert sample_sizes(shorter) == {(64, 96)}
    assert shorter.param_scheduler[0].max_iters == 50
    assert shorter.model.decode_head.max_depth == 7.0


def test_scene_classes_are_not_learned_on_a_folder(folder, tmp_path):
    own = write(folder, tmp_path / 'own.py', 'binsformer_swint_w7_nyu')
    assert own.model.decode_head.num_classes == 0
    cfg = depth.get_config('binsformer_swint_w7_nyu')
    cfg.model.backbone.pretrained = False
    start = tmp_path / 'start.pth'
    save_atomically(dict(meta=dict(cfg=config_to_data(cfg)), state_dict={}), start)
    own = write(folder, tmp_path / 'own_data/own.py', start=start)
    # The weights of the classes stay as the file has them.
    with torch.device('meta'):
        head = build_without_weights(own).decode_head
    assert (head.num_classes, head.learns_classes) == (25, False)
    assert own.find_unused_parameters


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ('depth_anything_v2_vits_relative', 'has no recipe of a training'),
        ('zoedepth_nk_beitl', 'learns from a mixture of 2 data sets'),
        ('epcdepth_r18_kitti_192x640', 'does not learn from depth maps'),
        ('metric3dv2_vits_nyu', 'needs the camera of every image; add intrinsics.json'),
        ('depthformer_swint_w7_nuy', 'did you mean'),
    ],
)
def test_methods_that_cannot_be_trained_on_a_folder_say_why(folder, tmp_path, model, message):
    with pytest.raises(ConfigError, match=message):
        write(folder, tmp_path / 'own.py', model)


def test_without_a_model_it_is_that_of_the_checkpoint(folder, tmp_path):
    cfg = depth.get_config('bts_tiny_rooms')
    state = build_without_weights(cfg).state_dict()
    start = tmp_path / 'start.pth'
    save_atomically(dict(meta=dict(cfg=config_to_data(cfg)), state_dict=state), start)
    own = write(folder, tmp_path / 'own_data/own.py', start=start)
    assert own.load_from == str(start)
    # The depth range of the checkpoint, 10 m in head and losses, is one variable now.
    assert own.model.decode_head.max_depth == 3.0
    assert sample_sizes(own) == {(96, 160)}
    shorter = load_config(tmp_path / 'own_data/own.py', {'max_iters': 50})
    assert shorter.train_cfg.max_iters == shorter.param_scheduler.total_steps == 50
    built = build_without_weights(own).state_dict()
    assert {name: value.shape for name, value in built.items()} == {
        name: value.shape for name, value in state.items()
    }


@pytest.mark.parametrize(
    ('case', 'file', 'method', 'model'),
    [
        # By its name; of the relative model, which has no recipe, the encoder starts the metric
        # one.
        ('depth_anything_v2_vits', 'depth_anything_v2_vits', 'depth_anything_v2', None),
        ('depth_anything_v2_vits', 'renamed', 'depth_anything_v2', 'depth_anything_v2_vits_nyu'),
    ],
)
def test_a_published_file_names_its_method(folder, tmp_path, case, file, method, model):
    start = tmp_path / f'{file}.pth'
    torch.save(published_state(load_case(case)), start)
    own = write(folder, tmp_path / 'own.py', model, start)
    assert own.load_published.method == method
    assert own.load_from == str(start)
    assert sample_sizes(own) == {(112, 154)}


def test_a_file_of_no_method_is_refused(tmp_path):
    start = tmp_path / 'other.pth'
    torch.save({'a.weight': torch.zeros(2)}, start)
    with pytest.raises(
        ValueError, match=r'neither a checkpoint of this toolbox .* nor a published'
    ):
        choose_method(None, start)
    with pytest.raises(FileNotFoundError, match='no such file'):
        choose_method(None, tmp_path / 'absent.pth')

"""The tiny Plane2Depth on real frames: cameras from the data sets, planes fitted to measured depth."""

import numpy as np
import pytest
import torch

from depth.apis import inference_model, init_model
from depth.engine.config import load_config
from tests.shared import REPO, SAMPLES, needs_samples
from tests.test_methods import put_on_samples
from tests.test_real_input import train

pytestmark = [needs_samples, pytest.mark.slow]
CONFIG = REPO / 'projects/Plane2Depth/configs/Plane2Depth/plane2depth_tiny_rooms.py'


def test_twenty_iterations_on_indoor_pairs(tmp_path):
    stems = [
        'nyu_00000',
        'nyu_00050',
        'nyu_00100',
        'redwood_00000',
        'redwood_00001',
        'redwood_00002',
    ]
    (tmp_path / 'split.txt').write_text(
        ''.join(f'/rgb/{stem}.jpg /depth/{stem}.png 518.8579\n' for stem in stems)
    )
    root = SAMPLES / 'indoor_rgbd'
    cfg = put_on_samples(
        load_config(CONFIG), 'nyu', tmp_path / 'work', root, tmp_path / 'split.txt', (160, 120)
    )
    _, losses, metrics = train(cfg)
    # 0.34 to 0.47 over seeds 0 to 3 and two orders of summation. No bound on abs_rel, which was
    # anywhere from 0.22 to 1.29 over the same runs: BatchNorm's running statistics have seen 20
    # batches only.
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    assert np.isfinite(metrics['abs_rel'])
    camera = [[518.86, 0.0, 325.58], [0.0, 519.47, 253.74], [0.0, 0.0, 1.0]]
    model = init_model(tmp_path / 'work/iter_20.pth')
    sample = inference_model(model, root / 'rgb/nyu_00050.jpg', camera)
    assert sample.pred_depth.shape == (480, 640) and sample.pred_depth.isfinite().all()


def test_twenty_iterations_on_kitti_frames(tmp_path):
    # The frames under a path that tells the recording day, by which the data set knows the camera.
    day = tmp_path / 'data/2011_09_26'
    day.mkdir(parents=True)
    names = []
    for line in (SAMPLES / 'kitti/split.txt').read_text().splitlines():
        image, depth = (SAMPLES / 'kitti' / field for field in line.split()[:2])
        (day / f'image_{image.name}').symlink_to(image)
        (day / f'depth_{depth.name}').symlink_to(depth)
        names.append(f'2011_09_26/image_{image.name} 2011_09_26/depth_{depth.name} 721.5377\n')
    (tmp_path / 'split.txt').write_text(''.join(names))
    prefix = dict(data_prefix=dict(img_path='', depth_path=''))
    cfg = load_config(CONFIG)
    cfg.model.decode_head.normal_window = 9
    cfg = put_on_samples(
        cfg,
        'kitti_eigen',
        tmp_path / 'work',
        tmp_path / 'data',
        tmp_path / 'split.txt',
        (384, 120),
        **prefix,
    )
    runner, losses, metrics = train(cfg)
    # 0.15 to 0.17 over seeds 0 to 4. No bound on abs_rel, which was anywhere from 0.21 to 0.85 over
    # the same seeds: BatchNorm's running statistics have seen 20 batches only. That it is the error
    # of these very predictions under the protocol is checked instead.
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    model = runner.model.eval()
    errors = []
    for batch in runner.val_dataloader:
        with torch.no_grad():
            samples = model.val_step(batch)
        for sample in samples:
            pred, gt = sample.pred_depth.numpy(), sample.gt_depth.numpy()
            rows, columns = np.indices(gt.shape) / np.reshape(gt.shape, (2, 1, 1))
            # The window of Garg et al.; its bounds are cut to whole rows and columns, hence the
            # tolerance.
            scored = (rows > 0.40810811) & (rows < 0.99189189)
            scored &= (columns > 0.03594771) & (columns < 0.96405229) & (gt > 1e-3) & (gt < 80)
            errors.append(np.mean(np.abs(pred.clip(1e-3, 80) - gt)[scored] / gt[scored]))
    assert metrics['abs_rel'] == pytest.approx(np.mean(errors), rel=0.01)
    sample = runner.train_dataloader.dataset[0]['data_samples']
    gt_depth, intrinsics = sample.gt_depth[None, None], sample.intrinsics[None]
    head = init_model(tmp_path / 'work/iter_20.pth').decode_head
    normals, valid = head.target_normals(gt_depth, intrinsics, [sample])
    assert valid.sum() > 0.3 * (gt_depth > 0).sum()  # sparse ground truth is enough
    # The road lies below the camera: most planes in the lowest rows look up (y runs down).
    lowest = torch.zeros_like(valid)
    lowest[:, :, -20:] = True
    assert (normals[:, 1:2][valid & lowest] < -0.9).float().mean() > 0.6

"""KITTI depth benchmark with its 500 test images, which have no ground truth, as test set.

``tools/test.py CONFIG CHECKPOINT --out DIR`` writes the predictions; nothing is scored.
"""

_base_ = ['./kitti_benchmark.py']
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='KITTIBenchmarkDataset',
        data_root='${data_root}',
        ann_file='kitti_benchmark_test.txt',
        data_prefix=dict(img_path='benchmark_test', cam_path='benchmark_test_cam'),
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline=[dict(type='LoadImage'), dict(type='PackDepthInputs')],
    ),
)
test_evaluator = dict(_delete_=True, type='UnscoredPredictions')

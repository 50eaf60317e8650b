"""The split files that published numbers rest on: how many lines they have, and their hashes."""

from dataclasses import dataclass

TOOLBOX = 'https://raw.githubusercontent.com/zhyever/Monocular-Depth-Estimation-Toolbox/d8aff50/splits'
# The lists of EPCDepth are those of Monodepth2, under other names.
MONODEPTH2 = 'https://raw.githubusercontent.com/nianticlabs/monodepth2/bd03a9ec1305082e80199bc2753ef5adb252e405/splits'


@dataclass(frozen=True)
class PublishedSplit:
    """One split file.

    Attributes:
        lines: How many lines it has.
        usable: How many of them have ground truth.
        sha256: Of the file as published.
        url: Where that copy is, pinned to a commit; None where no address is certain.
    """

    lines: int
    usable: int
    sha256: str
    url: str | None


PUBLISHED_SPLITS = {
    'nyu_train.txt': PublishedSplit(
        24231,
        24231,
        '11dcd508d3c669b2fed27eff2919a076484eea8ab6b1f889f32da6fc0a395354',
        f'{TOOLBOX}/nyu_train.txt',
    ),
    'nyu_test.txt': PublishedSplit(
        654, 654, 'e92c191d5835a22589b843c11b80cd7235d5bd0d4136e42a6debcea4511bf906', f'{TOOLBOX}/nyu_test.txt'
    ),
    'kitti_eigen_train.txt': PublishedSplit(
        23158,
        23158,
        '3655308ee4a017094dc620402db3fc587d769cfbfa9a16c6d0f8de6dcbe109ec',
        f'{TOOLBOX}/kitti_eigen_train.txt',
    ),
    'kitti_eigen_test.txt': PublishedSplit(
        697,
        652,
        '8d0499af9ab4c0d1cd7944d572b0e0e4412feab1e73f4003038426fde699b53a',
        f'{TOOLBOX}/kitti_eigen_test.txt',
    ),
    'kitti_benchmark_val.txt': PublishedSplit(
        6060,
        6060,
        '559a7dd5265e8c46f8c9c800aa23b98b846fe1d05688ed45957a36304c0a6c40',
        f'{TOOLBOX}/kitti_benchmark_val.txt',
    ),
    'kitti_benchmark_test.txt': PublishedSplit(
        500,
        500,
        '017f6de715d0d9a88ecb9916f28541c7f14dce6d94d4a456bed265f0a78d30d3',
        f'{TOOLBOX}/kitti_benchmark_test.txt',
    ),
    'SUNRGBD_val_splits.txt': PublishedSplit(
        5050,
        5050,
        'a3f59e7fce9db49690f6993e9fe8c4ad1cb556a359f512138ee710b60bf5f0f2',
        f'{TOOLBOX}/SUNRGBD_val_splits.txt',
    ),
    'eigen_full_train.txt': PublishedSplit(
        45200,
        45200,
        '1b491141d87b7af9e6706609b7ce858c198c3a4ca61d180c7dc90815d5f2a986',
        f'{MONODEPTH2}/eigen_full/train_files.txt',
    ),
    'eigen_full_val.txt': PublishedSplit(
        1776,
        1776,
        '9c4446772ec58aaa60acbeef0fa6d1e8ef1b346ad4f78272d056d10cf1993af9',
        f'{MONODEPTH2}/eigen_full/val_files.txt',
    ),
    'eigen_test.txt': PublishedSplit(
        697,
        697,
        'e226d4ca16e0e6e9695435014347dcf973588531330536fd8a68d298ef091a6b',
        f'{MONODEPTH2}/eigen/test_files.txt',
    ),
}

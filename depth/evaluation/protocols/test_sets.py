"""Test sets that several protocols score: data set, list with its checksum, number of images."""

NYU_TEST = dict(datasets=('nyu',), data_list='nyu_test.txt (e92c191d)', num_images=654)
KITTI_EIGEN_TEST = dict(
    datasets=('kitti',), data_list='kitti_eigen_test.txt (8d0499af)', num_images=652
)
KITTI_RAW_TEST = dict(
    datasets=('kitti_raw',), data_list='eigen_test.txt (e226d4ca)', num_images=697
)

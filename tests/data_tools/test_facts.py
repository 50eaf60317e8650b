from depth.data_tools.facts import list_datasets, update_page
from depth.datasets import DDADDataset, NYUDataset
from tests.shared import REPO

PAGE = 'docs/dataset_prepare.md'


def test_the_table_of_the_page_is_written_from_the_classes(tmp_path):
    copy = tmp_path / 'page.md'
    copy.write_text((REPO / PAGE).read_text())
    assert not update_page(copy), f'python -m depth.data_tools.facts {PAGE} writes the table'
    copy.write_text(copy.read_text().replace('12650', '1'))
    assert update_page(copy)
    assert '`train` 12650, `val` 3950' in copy.read_text()


def test_published_counts_follow_the_split(tmp_path):
    assert {DDADDataset, NYUDataset} <= set(list_datasets())
    cameras = ('CAMERA_01', 'CAMERA_05')
    assert DDADDataset(str(tmp_path), split='val', lazy_init=True).published_count() == 3950
    both = DDADDataset(str(tmp_path), split='val', cameras=cameras, lazy_init=True)
    assert both.published_count() == 7900
    nyu = NYUDataset(data_root=str(tmp_path), ann_file='nyu_test.txt', lazy_init=True)
    assert nyu.published_count() == 654
    own = NYUDataset(data_root=str(tmp_path), ann_file='mine.txt', lazy_init=True)
    assert own.published_count() is None

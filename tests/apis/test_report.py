"""The report: its numbers against values computed here, and a page that is safe and loads nothing."""

import itertools
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from mmengine.config import Config

from depth.apis.report import write_report
from depth.apis.report_runs import (
    config_difference,
    read_config,
    read_metrics,
    read_scalars,
    scene_pattern,
)
from depth.cli.report import main
from depth.datasets.scenes import render_scene
from depth.engine.hooks.prediction_writer_hook import unique_name
from depth.evaluation import DepthMetric
from depth.evaluation.protocols import get_protocol
from depth.visualization import save_depth_png

SIZE = (32, 48)
# No two sums of differences are equal, so that the permutation test has no ties.
FIRST = (1.203, 0.9, 1.05, 0.97, 1.31, 1.001)
SECOND = (1.1, 0.957, 1.061, 1.019, 1.113, 0.91)
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">&amp;'


class PageParser(HTMLParser):
    """Tables by section heading, the texts, and every attribute of a page."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags, self.attributes, self.texts = {}, [], [], []
        self.heading, self.in_heading, self.in_cell = '', False, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag == 'h2':
            self.heading, self.in_heading = '', True
        if tag == 'table':
            self.tables.setdefault(self.heading, []).append([])
        if tag == 'tr':
            self.tables[self.heading][-1].append([])
        if tag in ('td', 'th'):
            self.tables[self.heading][-1][-1].append('')
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_heading = self.in_heading and tag != 'h2'
        self.in_cell = self.in_cell and tag not in ('td', 'th')

    def handle_data(self, data):
        self.texts.append(data)
        if self.in_heading:
            self.heading += data
        if self.in_cell:
            self.tables[self.heading][-1][-1][-1] += data

    def column(self, heading, column, table=0):
        """Return the cells of a column by those of the first one."""
        rows = self.tables[heading][table][1:]
        return {row[0]: row[column] for row in rows}


def parse(path):
    return PageParser(path.read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def truth():
    """True depth of the scenes of the data set below, by image path."""
    depths = {}
    for index in range(len(FIRST)):
        scene = render_scene('rooms', 0, index, 'test', SIZE)
        scene['gt_depth'][scene['gt_depth'] > 10] = 0
        depths[f'rooms_test_0/{index:05d}.png'] = scene['gt_depth']
    return depths


def write_result(folder, truth, factors, protocol='rooms_10', rename=None, **options):
    """Write the files of a test of predictions that are off by a factor an image."""
    metric = DepthMetric(protocol, **options)
    for (name, depth), factor in zip(truth.items(), factors, strict=True):
        gt_depth = torch.from_numpy(depth)
        sample = dict(gt_depth=gt_depth, pred_depth=factor * gt_depth.clamp(min=0.1))
        sample['img_path'] = name if rename is None else rename(name)
        metric.process({}, [sample])
        pred = np.float32(factor) * np.maximum(depth, 0.1)
        save_depth_png(folder / f'predictions/{unique_name(name)}.png', pred)
    metrics = metric.evaluate(len(truth))
    test = folder / '20260101_000000'
    test.mkdir(parents=True)
    (test / f'{test.name}.json').write_text(json.dumps(metrics))
    metric.write_protocol(test / 'protocol.json')
    metric.write_per_image(test / 'per_image.json')
    return folder


def write_run(folder, values, scalars):
    """Write config and scalars as a training leaves them."""
    (folder / 'vis_data').mkdir(parents=True)
    (folder / 'vis_data/config.py').write_text(values)
    (folder / 'vis_data/scalars.json').write_text(scalars)


@pytest.fixture(scope='module')
def dataset_config():
    steps = [dict(type='LoadImage'), dict(type='PackDepthInputs')]
    dataset = dict(
        type='SyntheticDataset', world='rooms', split='test', num_scenes=len(FIRST),
        image_size=SIZE, max_depth=10.0, test_mode=True, pipeline=steps,
    )  # fmt: skip
    return Config(
        dict(test_dataloader=dict(dataset=dataset), test_evaluator=dict(type='DepthMetric'))
    )


@pytest.fixture(scope='module')
def full_report(tmp_path_factory, truth, dataset_config):
    """A report with everything, of two runs of one protocol."""
    root = tmp_path_factory.mktemp('report')
    folders = []
    for name, factors, rate in (('a', FIRST, '1e-4'), ('b', SECOND, '3e-4')):
        folder = write_result(
            root / name, truth, factors, distance_bins=[0, 3, 10], boundary_ratio=1.1
        )
        lines = [dict(loss=0.5 / step, lr=1e-4, iter=step, step=step) for step in range(1, 5)]
        lines.append(dict(abs_rel=0.25, step=4))
        scalars = '\n'.join(map(json.dumps, lines))
        write_run(
            folder / 'training/1', f"lr={rate}\nmodel=dict(head=dict(type='{HOSTILE}'))\n", scalars
        )
        folders.append(folder)
    left_out = write_report(
        folders,
        root / 'report.html',
        names=['base', 'new'],
        predictions=[folder / 'predictions' for folder in folders],
        dataset_config=dataset_config,
        training=[folder / 'training' for folder in folders],
        scenes=r'0(?=[0-2]\.)|00(?=[3-5]\.)',  # two scenes of three images, called 0 and 00
        num_images=2,
        num_resamples=2000,
    )
    return parse(root / 'report.html'), left_out, root / 'report.html'


def abs_rels(factors):
    """Return abs_rel of predictions that are off by a factor: closed form."""
    return np.abs(np.array(factors) - 1)


def test_metrics_have_their_means_and_intervals(full_report):
    page, left_out, _ = full_report
    assert [heading for heading, _ in left_out] == ['Calibration']
    for column, factors in ((1, FIRST), (3, SECOND)):
        errors = abs_rels(factors)
        assert float(page.column('Metrics', column)['abs_rel']) == pytest.approx(
            errors.mean(), abs=6e-5
        )
        d1 = np.mean([max(f, 1 / f) < 1.25 for f in factors])
        assert float(page.column('Metrics', column)['d1 \u2191']) == pytest.approx(d1, abs=6e-5)
        low, high = map(float, page.column('Metrics', column + 1)['abs_rel'].split(' to '))
        # Every resample of six images, drawn by another generator.
        drawn = np.random.default_rng(7).choice(errors, (50_000, len(errors))).mean(axis=1)
        expected = np.quantile(drawn, [0.025, 0.975])
        assert (low, high) == pytest.approx(tuple(expected), abs=0.006)


def test_bins_scenes_bands_and_scales_are_those_of_the_factors(full_report, truth):
    page = full_report[0]
    mean = abs_rels(FIRST).mean()
    for label, column in (('0-3m', 1), ('3-10m', 2)):
        near, far = map(float, label[:-1].split('-'))
        inside = [((depth >= near) & (depth < far)).any() for depth in truth.values()]
        expected = abs_rels(FIRST)[inside].mean()
        value = float(page.column('By distance', column)['abs_rel, base'])
        assert value == pytest.approx(expected, abs=6e-5)
    scenes = page.tables['By scene'][0][1:]
    for row, images in zip(scenes, (slice(0, 3), slice(3, 6)), strict=True):
        assert row[1] == '3'
        assert float(row[2].split()[0]) == pytest.approx(abs_rels(FIRST)[images].mean(), abs=6e-5)
    # A factor is the same error on every pixel; PNG rounds to a fraction of a millimetre.
    for value in page.column('By image gradient', 1).values():
        assert float(value.split()[0]) == pytest.approx(mean, abs=5e-4)
    median, spread = np.median(FIRST), np.quantile(FIRST, [0.05, 0.95])
    assert float(page.column('Scale per image', 1)['base']) == pytest.approx(median, abs=1e-3)
    ends = map(float, page.column('Scale per image', 2)['base'].split(' to '))
    assert tuple(ends) == pytest.approx(tuple(spread), abs=1e-3)
    within = np.mean([max(f, 1 / f) <= 1.1 for f in FIRST])
    assert page.column('Scale per image', 3)['base'] == f'{within:.0%}'


def test_worst_and_median_images_are_chosen_by_their_error(full_report):
    page = full_report[0]
    captions = [text for text in page.texts if ': abs_rel ' in text and 'true depth' in text]
    order = np.argsort(-abs_rels(FIRST))
    expected = [*order[:2], *order[2:4]]
    names = [caption.split(':')[0] for caption in captions[:4]]
    assert names == [f'{index:05d}.png' for index in expected]
    assert f'abs_rel {abs_rels(FIRST).max():.2f}' in captions[0]
    pictures = [value for tag, key, value in page.attributes if (tag, key) == ('img', 'src')]
    assert len(pictures) == 2 * (4 * 4 + 1)  # two runs, four images of four maps, a legend


def test_the_comparison_is_that_of_all_sign_patterns(full_report):
    page = full_report[0]
    differences = abs_rels(SECOND) - abs_rels(FIRST)
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    reached = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9
    change = page.column('Paired comparison', 3)['abs_rel']
    assert float(change.split()[0]) == pytest.approx(differences.mean(), abs=6e-5)
    p_value = float(page.column('Paired comparison', 4)['abs_rel'])
    assert p_value == pytest.approx(reached.mean(), abs=6e-5)


def test_config_difference_and_curves(full_report):
    page = full_report[0]
    assert page.tables['Config difference'][0][1:] == [['lr', '0.0001', '0.0003']]
    assert {'loss', 'lr', 'abs_rel of the validation'} <= set(page.texts)


def test_the_page_loads_nothing_and_runs_nothing(full_report):
    page, _, path = full_report
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'base', 'form'} & set(page.tags)
    for _, key, value in page.attributes:
        assert not key.startswith('on')
        if key in ('src', 'href', 'srcset', 'data', 'action', 'poster'):
            assert value.startswith(('#', 'data:image/'))
    text = path.read_text(encoding='utf-8')
    assert '@import' not in text
    assert 'url(' not in text
    assert '://' not in text
    policies = [value for _, key, value in page.attributes if key == 'content']
    assert policies[0].startswith("default-src 'none'")


def test_names_are_text(tmp_path, truth):
    def rename(name):
        return f'{HOSTILE}/{name}'

    first = write_result(tmp_path / 'a', truth, FIRST, rename=rename)
    second = write_result(tmp_path / 'b', truth, SECOND, rename=rename)
    for folder, value in ((first, HOSTILE), (second, 'x')):
        write_run(folder / 'run', f'key={value!r}\n', '')
    write_report(
        [first, second],
        tmp_path / 'report.html',
        names=[HOSTILE, '\udcff'],
        training=[first / 'run', second / 'run'],
        title=HOSTILE,
        scenes='.*rooms.*',
        num_resamples=50,
    )
    page = parse(tmp_path / 'report.html')
    assert 'script' not in page.tags
    assert 'img' not in page.tags
    assert HOSTILE in page.texts  # the title
    assert page.column('Config difference', 1)['key'] == repr(HOSTILE)
    assert page.tables['Protocol'][0][1][0] == HOSTILE
    assert page.tables['Protocol'][0][2][0] == '\\udcff'


def test_different_fingerprints_are_not_compared(tmp_path, truth, dataset_config):
    first = write_result(tmp_path / 'a', truth, FIRST)
    second = write_result(tmp_path / 'b', truth, SECOND, max_depth=6.0)
    write_report(
        [first, second],
        tmp_path / 'report.html',
        predictions=[first / 'predictions', second / 'predictions'],
        dataset_config=dataset_config,
        num_images=1,
        num_resamples=50,
    )
    page = parse(tmp_path / 'report.html')
    assert 'Paired comparison' not in page.tables
    refusals = [text for text in page.texts if text.startswith('Not compared: ')]
    assert len(refusals) == 1
    assert 'max_depth: 10.0 / 6.0' in refusals[0]
    # Tables and charts hold one result each.
    for heading in ('Metrics', 'By image gradient'):
        own = [name for name in page.tables if name.startswith(f'{heading}: ')]
        assert own == [f'{heading}: a', f'{heading}: b']
    assert page.tables['Metrics: a'][0][0] == ['metric', 'a', '95% interval']
    assert 'Protocol' in page.tables
    assert any('under different protocols' in text for text in page.texts)


def test_other_images_are_not_compared(tmp_path, truth):
    first = write_result(tmp_path / 'a', truth, FIRST)
    fewer = dict(itertools.islice(truth.items(), 3))
    second = write_result(tmp_path / 'b', fewer, SECOND[:3])
    write_report([first, second], tmp_path / 'report.html', num_resamples=50)
    page = parse(tmp_path / 'report.html')
    assert any(text.startswith('Not compared: the images differ') for text in page.texts)


def test_the_command_says_what_is_left_out(tmp_path, truth, capsys):
    result = write_result(tmp_path / 'a', truth, FIRST)
    out = tmp_path / 'new/report.html'
    assert main([str(result), '--out', str(out), '--num-resamples', '50']) == 0
    printed = capsys.readouterr().out
    for heading in ('By distance', 'By scene', 'Paired comparison', 'Scale per image'):
        assert f'left out: {heading}: ' in printed
    page = parse(out)
    reasons = page.column('Not in this report', 1)
    assert reasons['Paired comparison'] == 'It needs two results.'
    assert 'Training curves of 20260101_000000' not in page.tables


def test_a_calibration_is_shown(tmp_path, truth):
    result = write_result(tmp_path / 'a', truth, FIRST)
    path = result / '20260101_000000/per_image.json'
    content = json.loads(path.read_text())
    content['results'][0]['protocol']['calibration'] = 'calibrated on 20 images: 1.7'
    path.write_text(json.dumps(content))
    write_report([result], tmp_path / 'report.html', num_resamples=50)
    page = parse(tmp_path / 'report.html')
    assert page.column('Protocol', 7)['a'] == 'calibrated on 20 images: 1.7'


def test_a_protocol_that_averages_otherwise_keeps_its_own_values(tmp_path, truth):
    # The root of the mean of squares over images, not the mean of roots.
    result = write_result(tmp_path / 'a', truth, FIRST, 'rooms_10', protocols=['sdconvtrans_full'])
    write_report([result], tmp_path / 'report.html', protocol='sdconvtrans_full', num_resamples=50)
    page = parse(tmp_path / 'report.html')
    stored = json.loads((result / '20260101_000000/20260101_000000.json').read_text())
    squares = []
    for depth, factor in zip(truth.values(), FIRST, strict=True):
        inside = depth[depth > 0]
        squares.append(np.mean(((factor - 1) * inside) ** 2))
    value = float(page.column('Metrics', 1)['rmse'])
    assert value == pytest.approx(np.sqrt(np.mean(squares)), abs=6e-5)
    assert value == pytest.approx(stored['sdconvtrans_full/rmse'], abs=6e-5)
    assert any('The protocol averages otherwise (image_square)' in text for text in page.texts)


def test_results_of_one_name_stay_apart(tmp_path, truth):
    result = write_result(tmp_path / 'a', truth, FIRST)
    write_report([result, result], tmp_path / 'report.html', num_resamples=50)
    page = parse(tmp_path / 'report.html')
    assert [row[0] for row in page.tables['Protocol'][0][1:]] == ['a', 'a (2)']
    assert page.column('Paired comparison', 6)['abs_rel'] == 'not told apart'


def test_predictions_of_another_test_are_refused(tmp_path, truth, dataset_config):
    first = write_result(tmp_path / 'a', truth, FIRST)
    second = write_result(tmp_path / 'b', truth, SECOND)
    with pytest.raises(ValueError, match=r'predictions of a have abs_rel 0\.07'):
        write_report(
            [first],
            tmp_path / 'report.html',
            predictions=[second / 'predictions'],
            dataset_config=dataset_config,
            num_resamples=50,
        )
    assert not (tmp_path / 'report.html').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(predictions=['x']), 'belong together'),
        (dict(names=['x', 'y']), 'names: need one a result, got 2 for 1'),
        (dict(level=1.5), 'level is above 0 and below 1, got 1.5'),
        (dict(num_images=0), 'num_images is at least 1, got 0'),
        (dict(scenes='('), r"scene pattern '\(' is no regular expression"),
    ],
)
def test_arguments_that_do_not_fit_are_named(tmp_path, truth, options, message):
    result = write_result(tmp_path / 'a', truth, FIRST)
    with pytest.raises(ValueError, match=message):
        write_report([result], tmp_path / 'report.html', num_resamples=50, **options)


def test_a_config_is_parsed_and_not_executed(tmp_path):
    bait = tmp_path / 'executed'
    for name, batch in (('a', 2), ('b', 4)):
        write_run(
            tmp_path / name,
            f'open({str(bait)!r}, "w")\nx=dict(a=[dict(b={batch}), dict(c=(1, 2))], d={{"e": '
            f'None}})\nwork_dir="{name}"\n',
            '',
        )
    first, second = read_config(tmp_path / 'a'), read_config(tmp_path / 'b')
    assert not bait.exists()
    assert first == {'x.a.0.b': '2', 'x.a.1.c': '(1, 2)', 'x.d.e': 'None', 'work_dir': "'a'"}
    assert config_difference(first, second) == [('x.a.0.b', '2', '4')]
    assert read_config(tmp_path) is not None
    assert read_config(tmp_path / 'none') is None


def test_scalars_of_a_resumed_training_are_one_curve(tmp_path):
    first = [dict(loss=step, iter=step, step=step) for step in (1, 2, 3)]
    second = [dict(loss=10 * step, iter=step, step=step) for step in (3, 4)]
    write_run(tmp_path / '1', '', '\n'.join(map(json.dumps, first)) + '\n{"loss": 4')
    write_run(
        tmp_path / '2', '', '\n'.join(map(json.dumps, second)) + '\n{"abs_rel": 1, "step": 4}'
    )
    scalars = read_scalars(tmp_path)
    assert scalars['loss'].tolist() == [[1, 1], [2, 2], [3, 30], [4, 40]]
    assert scalars['val/abs_rel'].tolist() == [[4, 1]]
    (tmp_path / '1/vis_data/scalars.json').write_text('{"loss": 1}\n{}\n')
    with pytest.raises(ValueError, match='line 1 is no record of scalars'):
        read_scalars(tmp_path)


def test_scenes_of_published_data_sets_are_known():
    assert scene_pattern(get_protocol('nyu_eigen_10').describe()) == r'[^/]+(?=/rgb_)'
    assert scene_pattern(get_protocol('rooms_10').describe()) is None


def test_sparse_ground_truth_has_no_edges(tmp_path, truth, dataset_config, monkeypatch):
    monkeypatch.setattr('depth.evaluation.error_breakdown.DENSE_SHARE', 1.1)
    result = write_result(tmp_path / 'a', truth, FIRST)
    left_out = write_report(
        [result],
        tmp_path / 'report.html',
        predictions=[result / 'predictions'],
        dataset_config=dataset_config,
        num_images=1,
        num_resamples=50,
    )
    reason = 'The ground truth is too sparse to tell where its edges are.'
    assert ('Near depth edges', reason) in left_out


def test_metrics_of_mixed_tests_and_further_protocols_are_told_apart(tmp_path):
    metrics = {'rmse': 1, 'nyu/rmse': 2, 'nyu/other/rmse': 3, 'other/rmse': 4}
    (tmp_path / f'{tmp_path.name}.json').write_text(json.dumps(metrics))
    cases = (
        ('per_image.json', None, 1),
        ('per_image.json', 'other', 4),
        ('per_image_nyu.json', None, 2),
        ('per_image_nyu.json', 'other', 3),
    )
    for name, protocol, expected in cases:
        assert read_metrics(tmp_path / name, protocol)['rmse'] == expected
    (tmp_path / 'score.json').write_text('{"rmse": 5}')
    assert read_metrics(tmp_path / 'score.per_image.json', None) == {'rmse': 5}

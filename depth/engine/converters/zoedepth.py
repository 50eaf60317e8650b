"""Converter of ZoeDepth (``ZoeD_M12_N.pt``, ``_K.pt``, ``_NK.pt``) and of its start.

https://github.com/isl-org/ZoeDepth and https://github.com/isl-org/MiDaS, MIT licence.
"""

from torch import Tensor

from .state import PublishedFile, PublishedState, register_converter

HEAD = 'decode_head.'
_RELEASE = 'https://github.com/isl-org/ZoeDepth/releases/download/v1.0'


@register_converter(
    'zoedepth',
    code_licence='MIT (ZoeDepth and MiDaS)',
    weights_licence='MIT, that of the repository, which states no other',
    url='https://github.com/isl-org/ZoeDepth/releases/tag/v1.0',
    downloads=dict(
        zoedepth_n_beitl=PublishedFile(f'{_RELEASE}/ZoeD_M12_N.pt', 'MIT'),
        zoedepth_k_beitl=PublishedFile(f'{_RELEASE}/ZoeD_M12_K.pt', 'MIT'),
        zoedepth_nk_beitl=PublishedFile(f'{_RELEASE}/ZoeD_M12_NK.pt', 'MIT'),
    ),
)
def convert_zoedepth(state: PublishedState) -> dict[str, Tensor]:
    """Rename the BEiT, the decoder of MiDaS and the metric bins of ZoeD-N, -K or -NK.

    Files of MiDaS itself (``dpt_beit_large_384.pt``), from which the published trainings start,
    give the BEiT and the decoder alone. Dropped: the classifier of BEiT and the skip unit of the
    coarsest fusion block, which are never used; indices and constants that follow from the sizes.
    """
    is_midas = bool(state.names('pretrained.'))
    core = '' if is_midas else 'core.core.'
    state.drop(rf'^{core}pretrained\.model\.(fc_norm|norm|head)\.')
    state.drop(rf'^{core}scratch\.refinenet4\.resConfUnit1\.')
    state.drop(r'\.relative_position_index$')  # in files that were saved with timm 0.6
    state.drop(r'^conditional_log_binomial\..*log_binomial_transform\.(k_idx|K_minus_1)$')
    converted = _move(state, f'{core}pretrained.model.', 'backbone.net.')
    converted |= _convert_decoder(state, core)
    return converted if is_midas else converted | _convert_metric_part(state)


def _convert_metric_part(state: PublishedState) -> dict[str, Tensor]:
    """Rename what turns the features of MiDaS into metric depth."""
    converted = _move(state, 'conv2.', f'{HEAD}bottleneck_conv.')
    converted |= _move_mlp(state, 'seed_projector.', f'{HEAD}projectors.0.')
    for level in range(4):
        converted |= _move_mlp(state, f'projectors.{level}.', f'{HEAD}projectors.{level + 1}.')
    domains = [
        name.split('.')[1]
        for name in state.names('seed_bin_regressors.')
        if '_net.0.weight' in name
    ]
    for domain in domains:
        converted |= _convert_bins(state, 's', f'{domain}.', f'{HEAD}metric_bins.{domain}.')
    if not domains:
        return converted | _convert_bins(state, '', '', f'{HEAD}metric_bins.')
    router = f'{HEAD}router.'
    converted |= _move(state, 'patch_transformer.embedding_convPxP.', f'{router}embedding.')
    converted |= _move(state, 'patch_transformer.transformer_encoder.', f'{router}encoder.')
    return converted | _move(state, 'mlp_classifier.', f'{router}classifier.')


def _convert_decoder(state: PublishedState, core: str) -> dict[str, Tensor]:
    """Rename the decoder of MiDaS, whose names begin with ``core``.

    The published levels are numbered from 1, the finest first.
    """
    decoder = f'{HEAD}decoder.'
    converted = {}
    for level in range(4):
        process = f'{core}pretrained.act_postprocess{level + 1}.'
        converted |= _move(state, f'{process}0.project.', f'{decoder}readouts.{level}.')
        converted |= _move(state, f'{process}3.', f'{decoder}pyramid.projects.{level}.')
        converted |= _move(state, f'{process}4.', f'{decoder}pyramid.resize_layers.{level}.')
        fusion, scratch = f'{decoder}fusion.', f'{core}scratch.'
        converted |= _move(state, f'{scratch}layer{level + 1}_rn.', f'{fusion}reduce.{level}.')
        # Fusion blocks are numbered from the coarsest one here.
        published, block = f'{scratch}refinenet{level + 1}.', f'{fusion}blocks.{3 - level}.'
        converted |= _move(state, f'{published}out_conv.', f'{block}project.')
        converted |= _move(state, f'{published}resConfUnit1.', f'{block}skip_unit.')
        converted |= _move(state, f'{published}resConfUnit2.', f'{block}unit.')
    for number, name in ((0, 'output_conv1'), (2, 'output_conv2'), (4, 'relative_conv')):
        converted |= _move(state, f'{core}scratch.output_conv.{number}.', f'{decoder}{name}.')
    return converted


def _convert_bins(state: PublishedState, plural: str, domain: str, bins: str) -> dict[str, Tensor]:
    """Rename the metric bins of one domain.

    Args:
        state: Published weights.
        plural: Ending of the regressors' name in a file with several domains.
        domain: Name of the domain and a dot, or nothing.
        bins: Name of the module here, and a dot.
    """
    converted = _move_mlp(state, f'seed_bin_regressor{plural}.{domain}', f'{bins}seed_regressor.')
    for level in range(4):
        name = f'{bins}attractors.{level}.'
        converted |= _move_mlp(state, f'attractors.{domain}{level}.', name)
    published = f'conditional_log_binomial.{domain}mlp.'
    return converted | _move(state, published, f'{bins}log_binomial.mlp.')


def _move_mlp(state: PublishedState, published: str, name: str) -> dict[str, Tensor]:
    return _move(state, f'{published}_net.', name)


def _move(state: PublishedState, published: str, name: str) -> dict[str, Tensor]:
    """Take the entries below ``published`` and put them below ``name``."""
    return state.take_all(published, lambda entry: name + entry.removeprefix(published))

"""Model card (README.md) of a shared model: what it predicts, how it was scored, its licence."""

from collections.abc import Mapping

from depth.engine.converters import SOURCES
from depth.evaluation.protocols import PROTOCOLS
from depth.models.estimators import DepthEstimator

# SPDX identifiers as the Hugging Face Hub spells them; any other licence is `other` there.
HUB_LICENCES = ('apache-2.0', 'mit', 'bsd-2-clause', 'bsd-3-clause', 'cc-by-4.0', 'cc-by-nc-4.0')
UNKNOWN_LICENCE = (
    'not stated. Without a licence nobody but the authors may use the weights; the one of the code '
    'does not cover them'
)


def depth_range(model: DepthEstimator) -> list[float] | None:
    """Return near and far end of a model's depth in metres, None if its head states none."""
    near, far = model.depth_range
    if near is None or far is None:
        return None
    return [float(near), float(far)]


def protocol_facts(data: Mapping) -> list[dict]:
    """Return name, version and fingerprint of the protocols under which a config is tested."""
    evaluators = data.get('test_evaluator') or []
    if isinstance(evaluators, Mapping):
        evaluators = [evaluators]
    protocols = {}
    for evaluator in evaluators:
        names = [evaluator.get('protocol')]
        further = evaluator.get('protocols') or []
        if isinstance(further, Mapping):
            names += list(further.values())
        elif not isinstance(further, str):
            names += list(further)
        changes = {key: evaluator.get(key) for key in ('min_depth', 'max_depth', 'crop', 'resize')}
        for name in names:
            if name in PROTOCOLS:
                definition = PROTOCOLS[name].modified(**changes).describe()
                facts = {key: definition[key] for key in ('name', 'fingerprint', 'description')}
                protocols[definition['name']] = facts
    return list(protocols.values())


def licence_facts(data: Mapping) -> dict[str, str]:
    """Return what is known of the published weights that a config names as its origin.

    Args:
        data: Config as plain data.

    Returns:
        ``method``, ``code_licence``, ``weights_licence`` and ``url``, as far as they are known.
    """
    options = data.get('load_published')
    if not isinstance(options, Mapping) or options.get('method') not in SOURCES:
        return {}
    method = options['method']
    return dict(method=method, **SOURCES[method].licences())


def licence_text(facts: Mapping) -> str:
    """Return the licence of a model's weights as a sentence.

    Args:
        facts: ``licence``, None if it was not given, and ``published`` of :func:`licence_facts`.
    """
    if facts.get('licence'):
        return facts['licence']
    published = facts.get('published') or {}
    if published.get('weights_licence'):
        return f'that of the published weights: {published["weights_licence"]}'
    return UNKNOWN_LICENCE


def write_card(facts: Mapping, data: Mapping) -> str:
    """Return the text of a model card with its YAML header.

    Args:
        facts: Of ``save_pretrained``: name, prediction type, depth range, parameters, protocols,
            metrics, licence, published, training data, weights.
        data: Config as plain data.
    """
    name = facts['name']
    lines = [*_header(facts), f'# {name}', '', *_summary(facts, data)]
    lines += ['', '## Use', '', '```python']
    lines += ['from depth.apis import from_pretrained, inference_model', '']
    lines += [f"model = from_pretrained('{name}')  # this folder, or OWNER/{name} on the Hub"]
    lines += ["depth = inference_model(model, 'image.jpg').pred_depth", '```', '']
    lines += [
        'Nothing of this folder is executed: the config is data, the weights are safetensors.',
        '',
        '## Scores',
        '',
        *_scores(facts),
        '',
        '## Licence',
        '',
        f'Weights: {licence_text(facts)}.',
    ]
    published = facts['published']
    if published:
        origin = f'The config names the published weights of {published["method"]} as its origin'
        if 'url' in published:
            origin += f' (<{published["url"]}>)'
        lines.append(f'{origin}.')
        for key, subject in dict(weights_licence='weights', code_licence='code').items():
            if key in published:
                lines.append(f'Licence of those {subject}: {published[key]}.')
    if facts['training_data']:
        lines += ['', '## Training data', '', facts['training_data']]
    weights = facts['weights']
    lines += ['', '## Files', '']
    lines.append(f'`{weights["file"]}`: {weights["size"]} bytes, SHA-256 `{weights["sha256"]}`.')
    lines.append(f'Written by depth-toolbox {facts["version"]}.')
    return '\n'.join(lines) + '\n'


def _header(facts: Mapping) -> list[str]:
    """Return the YAML block that the Hugging Face Hub reads."""
    licence = facts['licence']
    lines = ['---', 'library_name: depth-toolbox', 'pipeline_tag: depth-estimation']
    lines += ['tags:', '- depth-estimation', '- monocular-depth']
    if licence and licence.lower() in HUB_LICENCES:
        lines.append(f'license: {licence.lower()}')
    else:
        lines.append('license: other')
    return [*lines, '---', '']


def _summary(facts: Mapping, data: Mapping) -> list[str]:
    model = data['model']
    components = []
    for key in ('backbone', 'neck', 'decode_head'):
        component = model.get(key)
        if isinstance(component, Mapping) and 'type' in component:
            components.append(f'`{component["type"]}`')
    rows = [
        ('Predicts', facts['prediction_type']),
        ('Parameters', f'{facts["parameters"] / 1e6:.1f} M'),
        ('Network', ', '.join(components)),
    ]
    if facts['depth_range']:
        near, far = facts['depth_range']
        rows.append(('Depth range', f'{near:g} to {far:g} m'))
    return ['| | |', '| --- | --- |', *(f'| {key} | {value} |' for key, value in rows)]


def _scores(facts: Mapping) -> list[str]:
    lines = []
    for protocol in facts['protocols']:
        lines.append(
            f'Protocol `{protocol["name"]}`, fingerprint `{protocol["fingerprint"]}`: '
            f'{protocol["description"]}'
        )
    if not facts['protocols']:
        lines.append('The config names no protocol.')
    if not facts['metrics']:
        return [*lines, '', 'No scores of these weights are known.']
    lines += ['', '| metric | value |', '| --- | --- |']
    lines += [f'| {name} | {value:.4g} |' for name, value in facts['metrics'].items()]
    return lines

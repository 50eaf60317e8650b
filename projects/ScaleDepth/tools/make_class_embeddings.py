"""Build the text embeddings of scene categories with open_clip.

The published prompt is not known: by default an ensemble of plain templates is averaged. Needs
`pip install open_clip_torch` and the text tower's weights (from its cache or the network).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from depth.cli.common import run_tool

if TYPE_CHECKING:
    import torch


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        help='file that receives the tensor (categories, width)',
    )
    parser.add_argument(
        '--outdoor',
        action='store_true',
        help='add outdoor_scene: 28 categories in place of 27',
    )
    parser.add_argument(
        '--categories',
        nargs='+',
        help='other categories, in the order of the class numbers',
    )
    parser.add_argument('--templates', nargs='+', help='prompts with {} for the category')
    parser.add_argument('--model', default='convnext_large_d_320', help='model of open_clip')
    parser.add_argument(
        '--pretrained',
        default='laion2b_s29b_b131k_ft_soup',
        help='tag of its weights, or their file',
    )
    return parser.parse_args()


def main() -> None:
    """Embed the categories, average over the templates, write the tensor."""
    args = parse_args()
    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from projects.ScaleDepth.scaledepth.text import CATEGORIES, TEMPLATES

    categories = args.categories or (CATEGORIES if args.outdoor else CATEGORIES[:-1])
    templates = args.templates or TEMPLATES
    for template in templates:
        if '{}' not in template:
            raise ValueError(f'--templates: {template!r} has no {{}} for the category')
    embeddings = embed(categories, templates, args.model, args.pretrained)
    from depth.engine.checkpoint import save_atomically

    save_atomically(embeddings, args.out)
    print(
        f'{args.out}: {tuple(embeddings.shape)}, {len(templates)} templates, {args.model} '
        f'{args.pretrained}',
    )


def embed(
    categories: list[str], templates: list[str], model_name: str, pretrained: str
) -> 'torch.Tensor':
    """Return the embeddings (K, C) of categories, each the mean over templates, of length 1."""
    import torch

    try:
        import open_clip
    except ImportError as error:
        raise ImportError('this needs open_clip: pip install open_clip_torch') from error
    model = open_clip.create_model(model_name, pretrained=pretrained).eval()
    tokenizer = open_clip.get_tokenizer(model_name)
    rows = []
    with torch.inference_mode():
        for category in categories:
            # CLIP's prompt ensemble: unit vectors are averaged and the mean is scaled to length 1.
            prompts = [template.format(category.replace('_', ' ')) for template in templates]
            features = model.encode_text(tokenizer(prompts)).float()  # (templates, C)
            unit = torch.nn.functional.normalize(features, dim=-1)
            rows.append(torch.nn.functional.normalize(unit.mean(dim=0), dim=0))
    return torch.stack(rows).clone()


if __name__ == '__main__':
    run_tool(main)

"""ZoeDepth head: a DPT decoder with relative depth, and metric bins that attractors move.

The decoder is the one of MiDaS 3.1. On its levels, coarse to fine, every pixel has its own bin
centres; attractors pull them at each level, and a log-binomial distribution over the bins gives
depth in metres. With several domains each has bins of its own, and a classifier chooses.

Reference: ZoeDepth, https://arxiv.org/abs/2302.12288; code and weights under the MIT licence at
https://github.com/isl-org/ZoeDepth. Written anew from a description of it.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.dpt_decoder import DPTFusion, DPTPyramid, resize_corners
from ..layers.precision import without_autocast
from .base_depth_head import BaseDepthHead

BIN_CENTERS = ('softplus', 'normed')
# The published config says 1000, which the published network never receives.
ATTRACTOR_ALPHA = 300.0


class MiDaSDecoder(nn.Module):
    """DPT decoder of MiDaS 3.1: four transformer blocks to relative inverse depth and its features.

    Args:
        embed_dim: Channels E of the tokens.
        pyramid_channels: Channels of the four levels of the pyramid, finest first.
        channels: Channels C of the fusion; even.
        last_channels: Channels of the last features.
    """

    def __init__(
        self, embed_dim: int, pyramid_channels: Sequence[int], channels: int, last_channels: int
    ) -> None:
        super().__init__()
        self.readouts = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * embed_dim, embed_dim), nn.GELU()) for _ in pyramid_channels
        )
        self.pyramid = DPTPyramid(embed_dim, pyramid_channels)
        self.fusion = DPTFusion(pyramid_channels, channels)
        self.output_conv1 = nn.Conv2d(channels, channels // 2, kernel_size=3, padding=1)
        self.output_conv2 = nn.Conv2d(channels // 2, last_channels, kernel_size=3, padding=1)
        self.relative_conv = nn.Conv2d(last_channels, 1, kernel_size=1)

    def forward(
        self, feats: Sequence[tuple[Tensor, Tensor]]
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Map (map (N, E, h, w), prefix tokens (N, P, E)) of four blocks to features.

        Returns:
            Maps (N, C, ...) from coarse to fine: the coarsest level of the pyramid, at half of the
            patch grid, then the outputs of the fusion blocks at 1, 2, 4 and 8 times the grid; the
            last features (N, ``last_channels``, 16 h, 16 w); and relative inverse depth
            (N, 1, 16 h, 16 w).
        """
        maps = []
        for readout, (feat, prefix) in zip(self.readouts, feats, strict=True):
            tokens = feat.flatten(2).transpose(1, 2)  # (N, L, E)
            pairs = torch.cat([tokens, prefix[:, :1].expand_as(tokens)], dim=2)  # (N, L, 2 E)
            maps.append(readout(pairs).transpose(1, 2).reshape(feat.shape))
        levels = self.fusion.reduce_channels(self.pyramid(maps))
        fused = self.fusion.fuse(levels)
        half = self.output_conv1(fused[-1])
        doubled = resize_corners(half, [2 * length for length in half.shape[-2:]])
        last = self.output_conv2(doubled).relu()
        return [levels[-1], *fused], last, self.relative_conv(last).relu()


class PixelMLP(nn.Sequential):
    """Two 1x1 convolutions with a ReLU between them.

    Args:
        in_channels: Channels of the input.
        hidden_channels: Channels between the convolutions.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, hidden_channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden_channels, out_channels, kernel_size=1),
        )


def attract(
    bin_centers: Tensor, attractors: Tensor, alpha: float = ATTRACTOR_ALPHA, gamma: int = 2
) -> Tensor:
    """Return bin centres moved towards attractors: c + mean_a (a - c) / (1 + alpha (a - c)^gamma).

    Args:
        bin_centers: (N, D, h, w).
        attractors: (N, A, h, w), in the unit of the centres.
        alpha: Strength: a large value moves only centres that are near an attractor.
        gamma: Even exponent.

    Reference: ZoeDepth, equation 1, https://arxiv.org/abs/2302.12288
    """
    shift = torch.zeros_like(bin_centers)
    # One attractor after another: (N, A, D, h, w) at once would be 16 times the memory.
    for attractor in attractors.split(1, dim=1):
        distance = attractor - bin_centers
        shift = shift + distance / (1 + alpha * distance**gamma)
    return bin_centers + shift / attractors.shape[1]


def log_binomial_coefficients(num_bins: int) -> Tensor:
    """Return log(binomial(D - 1, k)) for k = 0 .. D - 1 by Stirling's formula, (1, D, 1, 1).

    The published approximation n log n - k log k - (n - k) log(n - k) differs from the exact
    logarithm by up to 2.3 for 64 bins.
    """
    eps = 1e-7
    n = torch.tensor(num_bins - 1.0) + eps
    k = torch.arange(num_bins, dtype=torch.float32).view(1, -1, 1, 1) + eps
    return n * n.log() - k * k.log() - (n - k) * (n - k + eps).log()


class LogBinomial(nn.Module):
    """Distribution over ordered bins: a binomial with a probability and a temperature per pixel.

    Args:
        in_channels: Channels C of the features.
        hidden_channels: Hidden channels of the predictor.
        num_bins: Bins D.
        min_temperature, max_temperature: Range of the temperature, which divides the logits.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_bins: int,
        min_temperature: float = 0.0212,
        max_temperature: float = 50.0,
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(in_channels, hidden_channels, kernel_size=1),
            nn.GELU(),
            nn.Conv2d(hidden_channels, 4, kernel_size=1),
        )
        self.min_temperature, self.max_temperature = min_temperature, max_temperature
        numbers = torch.arange(num_bins, dtype=torch.float32).view(1, -1, 1, 1)
        self.register_buffer('numbers', numbers, persistent=False)
        coefficients = log_binomial_coefficients(num_bins)
        self.register_buffer('coefficients', coefficients, persistent=False)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to probabilities of the bins (N, D, h, w), float32."""
        outputs = self.mlp(feat)
        with without_autocast(feat.device):
            outputs = F.softplus(outputs.float()) + 1e-4
            success, temperature = outputs.chunk(2, dim=1)
            success = success[:, :1] / success.sum(dim=1, keepdim=True)
            share = temperature[:, :1] / temperature.sum(dim=1, keepdim=True)
            span = self.max_temperature - self.min_temperature
            temperature = span * share + self.min_temperature
            successes = self.numbers * success.clamp(min=1e-4).log()
            last = self.numbers[:, -1:]
            failures = (last - self.numbers) * (1 - success).clamp(1e-4, 1).log()
            logits = self.coefficients + successes + failures
            return (logits / temperature).softmax(dim=1)


class MetricBins(nn.Module):
    """Metric bins of one domain: seed centres, attractors and the distribution over the bins.

    Args:
        channels: Channels C of the bottleneck.
        embed_channels: Channels E of the bin embeddings.
        seed_channels: Hidden channels of the seed regressor.
        last_channels: Channels of the features for the distribution, without the embedding.
        num_bins: Bins D.
        num_attractors: Attractors of the four levels, coarsest first.
        bin_centers: ``'softplus'`` (metres, unbounded) or ``'normed'`` (within the depth range).
        bottleneck_factor: Divisor of the hidden channels of the distribution's predictor.
        depth_range: (near, far) in metres, for ``'normed'``.
    """

    def __init__(
        self,
        channels: int,
        embed_channels: int,
        seed_channels: int,
        last_channels: int,
        num_bins: int,
        num_attractors: Sequence[int],
        bin_centers: str,
        bottleneck_factor: int,
        depth_range: tuple[float, float],
    ) -> None:
        super().__init__()
        self.is_normed = bin_centers == 'normed'
        self.depth_range = depth_range
        self.seed_regressor = PixelMLP(channels, seed_channels, num_bins)
        # As published, a normed attractor is the first of a pair of outputs; the second is unused.
        outputs = 2 if self.is_normed else 1
        self.attractors = nn.ModuleList(
            PixelMLP(embed_channels, embed_channels, outputs * count) for count in num_attractors
        )
        inputs = last_channels + embed_channels
        self.log_binomial = LogBinomial(inputs, inputs // bottleneck_factor, num_bins)

    def forward(
        self, bottleneck: Tensor, embeddings: Sequence[Tensor], last: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return depth (N, 1, H, W) and bin centres (N, D, h, w), both metres and float32.

        Args:
            bottleneck: (N, C, ...), coarsest features.
            embeddings: Bin embeddings (N, E, ...) of the bottleneck and of the four levels, coarse
                to fine; the centres have the size of the last.
            last: Features (N, ``last_channels``, H, W).
        """
        centers = self._seed_centers(self.seed_regressor(bottleneck).float())
        coarser = embeddings[0]
        for layer, embedding in zip(self.attractors, embeddings[1:], strict=True):
            size = embedding.shape[-2:]
            attractors = self._attractors(layer(embedding + resize_corners(coarser, size)).float())
            centers = attract(resize_corners(centers, size), attractors)
            coarser = embedding
        if self.is_normed:
            # Sorted for the distribution alone: the levels hand on unsorted centres, as published.
            near, far = self.depth_range
            centers = ((far - near) * centers + near).clamp(near, far).sort(dim=1).values
        finest = resize_corners(embeddings[-1], last.shape[-2:])
        probs = self.log_binomial(torch.cat([last, finest], dim=1))
        resized = resize_corners(centers, last.shape[-2:])
        return (probs * resized).sum(dim=1, keepdim=True), centers

    def _seed_centers(self, outputs: Tensor) -> Tensor:
        """Map (N, D, h, w) to centres in metres, or as shares of the depth range if normed."""
        if not self.is_normed:
            return F.softplus(outputs)
        widths = outputs.relu() + 1e-3
        widths = widths / widths.sum(dim=1, keepdim=True)
        return widths.cumsum(dim=1) - widths / 2  # midpoints between the bins' edges

    def _attractors(self, outputs: Tensor) -> Tensor:
        """Map the outputs of an attractor layer to attractors (N, A, h, w) in the centres' unit."""
        if not self.is_normed:
            return F.softplus(outputs)
        return outputs[:, 0::2].relu() + 1e-3


@MODELS.register_module()
class ZoeDepthHead(BaseDepthHead):
    """ZoeDepth head of one domain: MiDaS decoder and metric bins.

    The backbone gives (map, prefix tokens) of four blocks on one patch grid with 16x16 patches; the
    first prefix token is the class token.

    Args:
        in_channels: Channels E of the tokens of every block; all the same.
        pyramid_channels: Channels of the decoder's four levels, finest first.
        channels: Channels C of the decoder's fusion.
        num_bins: Bins D.
        num_attractors: Attractors of the four levels, coarsest first.
        bin_centers: ``'softplus'``: centres in metres without an upper bound (ZoeD-N, ZoeD-NK);
            ``'normed'``: shares of the depth range (ZoeD-K).
        embed_channels: Channels of the bin embeddings.
        hidden_channels: Hidden channels of the projectors.
        seed_channels: Hidden channels of the seed regressor.
        bottleneck_factor: Divisor of the hidden channels that predict the distribution.
        with_relative_depth: Give relative inverse depth to the distribution, too.
        **kwargs: Depth range and ``loss_decode``, see :class:`BaseDepthHead`.

    Raises:
        ValueError: If the blocks have different channels, there are not four of them, or an option
            is unknown.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (1024, 1024, 1024, 1024),
        pyramid_channels: Sequence[int] = (256, 512, 1024, 1024),
        channels: int = 256,
        num_bins: int = 64,
        num_attractors: Sequence[int] = (16, 8, 4, 1),
        bin_centers: str = 'softplus',
        embed_channels: int = 128,
        hidden_channels: int = 128,
        seed_channels: int = 256,
        bottleneck_factor: int = 2,
        with_relative_depth: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(**dict(dict(align_corners=True), **kwargs))
        name = type(self).__name__
        if len(in_channels) != 4 or len(set(in_channels)) != 1:
            raise ValueError(
                f'{name}: in_channels is the same width four times, got {list(in_channels)}'
            )
        if bin_centers not in BIN_CENTERS:
            raise ValueError(
                f'{name}: bin_centers is one of {", ".join(BIN_CENTERS)}, got {bin_centers!r}'
            )
        if len(num_attractors) != 4 or min(num_attractors) < 1:
            raise ValueError(
                f'{name}: num_attractors is four positive numbers, got {list(num_attractors)}'
            )
        self.in_channels = list(in_channels)
        self.with_relative_depth = with_relative_depth
        last_channels = 32
        self.decoder = MiDaSDecoder(in_channels[0], pyramid_channels, channels, last_channels)
        # Where no depth depends on it, distributed training must not wait for its gradient.
        self.decoder.relative_conv.requires_grad_(with_relative_depth)
        self.bottleneck_conv = nn.Conv2d(channels, channels, kernel_size=1)
        # Of the bottleneck and of the four levels, coarse to fine.
        self.projectors = nn.ModuleList(
            PixelMLP(channels, hidden_channels, embed_channels) for _ in range(5)
        )
        self._bins_arguments = dict(
            channels=channels,
            embed_channels=embed_channels,
            seed_channels=seed_channels,
            last_channels=last_channels + with_relative_depth,
            num_bins=num_bins,
            num_attractors=num_attractors,
            bin_centers=bin_centers,
            bottleneck_factor=bottleneck_factor,
            depth_range=(self.min_depth, self.max_depth),
        )
        self._build_bins()

    def _build_bins(self) -> None:
        self.metric_bins = MetricBins(**self._bins_arguments)

    def forward(
        self,
        feats: Sequence[tuple[Tensor, Tensor]],
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Map (map (N, E, h, w), prefix tokens (N, P, E)) of four blocks to depth.

        Returns:
            ``depth`` (N, 1, 16 h, 16 w) in metres, ``bin_centers`` (N, D, 8 h, 8 w) in metres and
            ``relative_inverse_depth`` (N, 1, 16 h, 16 w) of the decoder.
        """
        bottleneck, embeddings, last, relative = self.decode(feats)
        depth, bin_centers = self.metric_bins(bottleneck, embeddings, last)
        return dict(depth=depth, bin_centers=bin_centers, relative_inverse_depth=relative)

    def decode(
        self, feats: Sequence[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """Return what metric bins need: bottleneck, embeddings, last features; and relative depth.

        Raises:
            ValueError: If the features are maps without prefix tokens.
        """
        if any(isinstance(feat, Tensor) for feat in feats):
            raise ValueError(
                f'{type(self).__name__}: the backbone gives maps without class tokens, set '
                'backbone.prefix_tokens=True'
            )
        maps, last, relative = self.decoder(feats)
        bottleneck = self.bottleneck_conv(maps[0])
        inputs = [bottleneck, *maps[1:]]
        embeddings = [layer(feat) for layer, feat in zip(self.projectors, inputs, strict=True)]
        if self.with_relative_depth:
            last = torch.cat([last, relative], dim=1)
        return bottleneck, embeddings, last, relative


class DomainRouter(nn.Module):
    """Domain classifier: a transformer over the pixels of the bottleneck.

    Args:
        in_channels: Channels C of the bottleneck.
        num_domains: Domains K.
        channels: Width E of the tokens.
        num_layers: Post-norm encoder layers.
        num_heads: Heads of the attentions.
        feedforward_channels: Hidden channels of the feed-forward layers.
    """

    def __init__(
        self,
        in_channels: int,
        num_domains: int,
        channels: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        feedforward_channels: int = 1024,
    ) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(in_channels, channels, kernel_size=1)
        layer = nn.TransformerEncoderLayer(
            channels, num_heads, feedforward_channels, dropout=0.1, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.classifier = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, num_domains)
        )

    def forward(self, bottleneck: Tensor) -> Tensor:
        """Map (N, C, h, w) to logits of the domains (N, K)."""
        tokens = self.embedding(bottleneck).flatten(2).transpose(1, 2)  # (N, L, E)
        # The class token is zero before the position code, not learned.
        tokens = F.pad(tokens, (0, 0, 1, 0))
        tokens = tokens + position_code(*tokens.shape[1:], tokens.device).to(tokens.dtype)
        return self.classifier(self.encoder(tokens)[:, 0])


def position_code(length: int, channels: int, device: torch.device) -> Tensor:
    """Return the code (length, channels) of sequence positions: all sines, then all cosines.

    The frequencies are 10000^(-2 i / channels); the published sequence of sines and cosines is not
    interleaved as in https://arxiv.org/abs/1706.03762.
    """
    steps = torch.arange(0, channels, 2, dtype=torch.float32, device=device)
    frequencies = torch.exp(steps * (-math.log(10000.0) / channels))
    positions = torch.arange(length, dtype=torch.float32, device=device)
    angles = positions[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@MODELS.register_module()
class ZoeDepthDomainsHead(ZoeDepthHead):
    """ZoeDepth head of several domains (ZoeD-NK): metric bins of each, and a classifier.

    In evaluation the classifier chooses for each image; in training the sum of the batch's logits
    chooses one domain for all its images, as published, whatever their data set. All domains are
    computed and the chosen one is selected on the device, so that nothing waits for the choice; the
    bins of one domain are 0.7 % of the multiply-adds of ZoeD-NK on BEiT-L.

    Args:
        domains: Far end of the ground truth that counts, in metres, by the name of the data set
            (``dataset`` of a sample), one domain each.
        loss_domain: Config of the loss on domain logits; none by default.
        **kwargs: See :class:`ZoeDepthHead`.

    Raises:
        ValueError: If there are fewer than two domains or a far end is not in the depth range; in
            ``loss`` if a sample's data set is no domain.
    """

    canonical_conflict = 'its domains have far ends in metres'

    def __init__(
        self, domains: Mapping[str, float], loss_domain: dict | None = None, **kwargs
    ) -> None:
        self.domains = tuple(domains)
        super().__init__(**kwargs)
        if len(domains) < 2:
            raise ValueError(
                f'ZoeDepthDomainsHead: domains name two or more data sets, got {dict(domains)}; '
                'ZoeDepthHead is for one'
            )
        for name, far in domains.items():
            if not self.min_depth < far <= self.max_depth:
                raise ValueError(
                    f'ZoeDepthDomainsHead: domains.{name} is {far} m, outside the depth range '
                    f'{self.min_depth} to {self.max_depth} m'
                )
        channels = self._bins_arguments['channels']
        self.router = DomainRouter(channels, len(domains))
        self.loss_domain = None if loss_domain is None else MODELS.build(loss_domain)
        self.register_buffer('domain_numbers', torch.arange(len(domains)), persistent=False)
        far_ends = torch.tensor([float(far) for far in domains.values()])
        self.register_buffer('far_ends', far_ends, persistent=False)

    def _build_bins(self) -> None:
        self.metric_bins = nn.ModuleDict(
            {name: MetricBins(**self._bins_arguments) for name in self.domains}
        )

    def forward(
        self,
        feats: Sequence[tuple[Tensor, Tensor]],
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Map (map (N, E, h, w), prefix tokens (N, P, E)) of four blocks to depth.

        Returns:
            ``depth`` (N, 1, 16 h, 16 w) in metres of the chosen domain, ``domain_depths``
            (N, K, 16 h, 16 w) of all domains, ``domain_logits`` (N, K), ``domain`` (N,), the
            number of the chosen one, and ``relative_inverse_depth`` (N, 1, 16 h, 16 w).
        """
        bottleneck, embeddings, last, relative = self.decode(feats)
        logits = self.router(bottleneck)
        votes = logits.sum(dim=0, keepdim=True).expand_as(logits) if self.training else logits
        domain = votes.argmax(dim=1)
        depths = [bins(bottleneck, embeddings, last)[0] for bins in self.metric_bins.values()]
        domain_depths = torch.cat(depths, dim=1)
        return dict(
            depth=domain_depths.take_along_dim(domain.view(-1, 1, 1, 1), dim=1),
            domain_depths=domain_depths,
            domain_logits=logits,
            domain=domain,
            relative_inverse_depth=relative,
        )

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses on depth and, with ``loss_domain``, on the domain logits."""
        labels = self._labels(data_samples or ())
        counts = gt_depth < self.far_ends[labels].view(-1, 1, 1, 1)
        losses = super().loss(outputs, torch.where(counts, gt_depth, 0), data_samples)
        if self.loss_domain is not None:
            losses['loss_domain'] = self.loss_domain(outputs['domain_logits'], labels)
        return losses

    def _labels(self, data_samples: Sequence[DepthDataSample]) -> Tensor:
        """Return the number of each sample's domain (N,).

        Raises:
            ValueError: If a sample's data set is no domain of the head.
        """
        labels = []
        for sample in data_samples:
            name = sample.get('dataset')
            if name not in self.domains:
                raise ValueError(
                    f'{sample.get("img_path", "a sample")}: its data set is {name!r}, but '
                    f'decode_head.domains are {", ".join(self.domains)}; name the data sets of the '
                    'training there'
                )
            # Views of a buffer: a tensor from a Python list would make the GPU wait.
            labels.append(self.domain_numbers[self.domains.index(name)])
        return torch.stack(labels)

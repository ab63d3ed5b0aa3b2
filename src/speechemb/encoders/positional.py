"""The positional convolution of WavLM, HuBERT and wav2vec 2.0: a grouped convolution with a kernel of 128 frames.

Where oneDNN's packed convolution is not the fastest way (see `kernels.fuses`), a CPU computes it as products of Fourier
transforms, piece by piece (overlap-save, Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7): a tenth of
the operations, with the same rounding error.
"""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F

from speechemb.encoders.kernels import fuses, gelu_

STEP = 32  # frames: lengths are rounded up to a multiple, because each new length costs oneDNN 40 ms
# On processors with AMX, oneDNN's grouped bf16 convolution gives wrong numbers for groups of fewer channels (cosine
# to fp32 as low as 0.13), packed or not. Published models have 48 or more; smaller ones convolve in fp32.
MIN_GROUP_CHANNELS = 16


class PositionalConvolution:
    """Frames (T, D) of clips one after another -> (T, D), to be added to them; no clip sees another one's frames."""

    def __init__(self, embed: Any, config: Any, dtype: torch.dtype) -> None:
        self.norm = getattr(embed, "batch_norm", None)
        self.activation = embed.activation
        self.gelu = config.feat_extract_activation == "gelu"
        self.groups, self.padding = embed.conv.groups, embed.conv.padding[0]
        # weight norm in double precision: in single, the sum depends on the number of threads
        weight = deepcopy(embed.conv).cpu().double().weight.detach()
        bias = embed.conv.bias
        self.dtype = torch.float32 if weight.shape[1] < MIN_GROUP_CHANNELS else dtype
        self.bias = bias.to(self.dtype)
        self.weight = weight[:, :, None].to(bias.device, self.dtype)
        self.packed = fuses(self.weight) and self.gelu
        self.fourier: _Fourier | None = None
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, [0, self.padding], [1, 1], [1, 1], self.groups
            )
        elif bias.device.type == "cpu" and self.dtype == torch.float32:
            self.fourier = _Fourier(weight, self.groups, self.padding)
            del self.weight

    def __call__(self, x: torch.Tensor, frames: list[int]) -> torch.Tensor:
        """`frames`: number of frames of each clip."""
        dtype = x.dtype
        clips = [self._normalised(clip).to(self.dtype) for clip in x.split(frames)]
        if self.fourier is not None:
            x = self.fourier(clips).add_(self.bias)
            x = gelu_(x) if self.gelu else self.activation(x)
        else:
            x = torch.cat([self._convolved(clip) for clip in clips])
        return x.to(dtype)

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.norm is None else self.norm(x.float().T[None])[0].T.to(x.dtype)

    def _convolved(self, x: torch.Tensor) -> torch.Tensor:
        frames = len(x)
        x = F.pad(x, (0, 0, 0, -frames % STEP))  # zeros, like the padding of the convolution itself
        x = x.T[None, :, None]  # (1, D, 1, T) whose memory is "channels last"
        if self.packed:
            geometry = ([0, self.padding], [1, 1], [1, 1], self.groups)
            x = torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *geometry, "gelu", [], "none")
        else:
            x = self.activation(F.conv2d(x, self.weight, self.bias, padding=(0, self.padding), groups=self.groups))
        return x[0, :, 0, :frames].T  # an even kernel gives one frame too many


class _Fourier:
    """The convolution alone, by overlap-save: `weight` (D, D / groups, kernel) float64."""

    def __init__(self, weight: torch.Tensor, groups: int, padding: int) -> None:
        kernel, self.padding = weight.shape[2], padding
        self.size = 2 ** (2 * kernel - 1).bit_length()  # of a transform: twice the kernel or more
        self.hop = self.size - kernel + 1  # frames that a piece of this size gives
        # torch's convolution is a correlation, hence the complex conjugate; (frequencies, groups, in, out)
        weights = torch.fft.rfft(weight, n=self.size).conj().unflatten(0, (groups, -1)).permute(3, 0, 2, 1)
        self.weights = weights.to(torch.complex64, memory_format=torch.contiguous_format)

    def __call__(self, clips: list[torch.Tensor]) -> torch.Tensor:
        counts = [-(-len(clip) // self.hop) for clip in clips]
        pieces = torch.cat([self._pieces(clip, n) for clip, n in zip(clips, counts, strict=True)])
        frequencies, groups, width, _ = self.weights.shape
        # (frequencies, groups, n, in)
        spectra = torch.fft.rfft(pieces).unflatten(1, (groups, width)).permute(3, 1, 0, 2)
        products = torch.bmm(spectra.flatten(0, 1), self.weights.flatten(0, 1))
        products = products.view(frequencies, groups, len(pieces), width).permute(2, 1, 3, 0).flatten(1, 2)
        found = torch.fft.irfft(products, n=self.size)[:, :, : self.hop].transpose(1, 2)  # (n, hop, D)
        parts = zip(found.split(counts), clips, strict=True)
        return torch.cat([part.flatten(0, 1)[: len(clip)] for part, clip in parts])

    def _pieces(self, clip: torch.Tensor, count: int) -> torch.Tensor:
        """(count, D, size): overlapping pieces of a clip between zeros, one every `hop` frames."""
        missing = (count - 1) * self.hop + self.size - self.padding - len(clip)
        return F.pad(clip, (0, 0, self.padding, missing)).unfold(0, self.size, self.hop)

"""Audio files of many kinds, written by FFmpeg's encoders."""

import io
from pathlib import Path

import av
import numpy as np


def encode(
    path: Path | io.BytesIO,
    samples: np.ndarray,
    rate: int,
    codec: str,
    *,
    container: str | None = None,
    options: dict[str, str] | None = None,
    quality: int | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """Writes float samples [channels, n].

    `options` are those of FFmpeg's multiplexer; a `quality` asks for a variable bit rate.
    """
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    target = str(path) if isinstance(path, Path) else path
    with av.open(target, "w", format=container, options=options or {}) as file:
        file.metadata.update(tags or {})
        stream = file.add_stream(codec, rate=rate)
        context = stream.codec_context
        context.layout = layout
        wanted = context.codec.audio_formats[0].name
        context.format = wanted
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout
        )
        frame.sample_rate = rate
        if quality is not None:
            context.qscale = True
            context.global_quality = quality * 118  # FFmpeg's unit
        context.open()
        resampler = av.AudioResampler(wanted, layout, rate, context.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))

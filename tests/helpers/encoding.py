"""Audio files of many kinds, written by FFmpeg's encoders."""

import io
import struct
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


def write_dsd(path: Path, samples: np.ndarray, rate: int) -> None:
    """Writes float samples [n] as one bit each, mono, in the container of the suffix: DSF or DFF.

    No encoder for these is at hand. The modulator is of first order.
    """
    levels = np.floor(np.cumsum((samples + 1) / 2))
    bits = np.diff(levels, prepend=0) > 0
    bits = np.append(bits, np.resize([True, False], -len(bits) % 32768))  # DSF has whole blocks
    if path.suffix == ".dsf":
        sound = np.packbits(bits, bitorder="little").tobytes()
        shape = struct.pack("<IIIIIIQII", 1, 0, 1, 1, rate, 1, len(bits), 4096, 0)
        form = b"fmt " + struct.pack("<Q", 12 + len(shape)) + shape
        data = b"data" + struct.pack("<Q", 12 + len(sound)) + sound
        total = 28 + len(form) + len(data)
        path.write_bytes(b"DSD " + struct.pack("<QQQ", 28, total, 0) + form + data)
        return

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack(">Q", len(content)) + content

    properties = b"SND " + chunk(b"FS  ", struct.pack(">I", rate))
    properties += chunk(b"CHNL", struct.pack(">H", 1) + b"C000")
    properties += chunk(b"CMPR", b"DSD " + bytes([14]) + b"not compressed\0")
    content = b"DSD " + chunk(b"FVER", struct.pack(">I", 0x01050000)) + chunk(b"PROP", properties)
    content += chunk(b"DSD ", np.packbits(bits).tobytes())
    path.write_bytes(chunk(b"FRM8", content))

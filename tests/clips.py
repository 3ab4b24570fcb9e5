"""Small videos for tests, and what is in a file."""

from fractions import Fraction

import av
import numpy as np


def moving(count, height=48, width=64):
    """A texture that moves by 2 pixels a frame, uint8 [height, width, 3] each."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (height // 4 + 2, (width + 2 * count) // 4 + 2, 3))
    texture = np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)
    # Flow sees smooth things better than steps.
    texture = (texture.astype(int) + np.roll(texture, 2, 0) + np.roll(texture, 2, 1)) // 3
    return [texture[:height, 2 * index : 2 * index + width].astype(np.uint8) for index in range(count)]


def write(
    path,
    frames,
    *,
    codec="libx264",
    pixel_format="yuv420p",
    rate=25,
    times=None,
    time_base=None,
    rotation=0,
    is_mirrored=False,
    sound=None,
    seconds=None,
    gap=0.0,
    jitter=0.0,
    layout="mono",
    language=None,
    matrix=None,
    is_full_range=False,
    aspect=None,
    options=None,
    time_code=None,
):
    """Writes a video; `times` are multiples of `time_base`; `sound` is a codec's name, of `seconds`.

    After half of the sound there is a `gap` in its times, in seconds, and each fifth packet is late by
    the `jitter`, and those after it catch up.
    """
    time_base = time_base or Fraction(1, rate)
    height, width = frames[0].shape[:2]
    # The index before the frames, as where a film is cut off that was to be played from the web.
    index_first = {"movflags": "faststart"} if time_code else {}
    with av.open(str(path), "w", options=index_first) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        if time_code is not None:
            stream.metadata["timecode"] = time_code
        stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
        context = stream.codec_context
        context.time_base = time_base
        context.color_range = 2 if is_full_range else 1
        if matrix is not None:
            context.colorspace = matrix
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if rotation or is_mirrored:
            stream.set_display_rotation(rotation, hflip=is_mirrored)
        track = None
        if sound is not None:
            track = container.add_stream(sound, rate=48_000)
            track.layout = layout
            if language is not None:
                track.metadata["language"] = language
            for packet in _beeps(track, seconds or len(frames) / rate, gap, jitter):
                container.mux(packet)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
                format=pixel_format, dst_colorspace=matrix, dst_color_range=2 if is_full_range else 1
            )
            frame.pts = index if times is None else times[index]
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def _beeps(track, seconds, gap=0.0, jitter=0.0):
    """A tone that is there in every other tenth of a second."""
    places = np.arange(round(48_000 * seconds))
    tone = 0.3 * np.sin(2 * np.pi * 440 * places / 48_000) * (places // 4800 % 2 == 0)
    for start in range(0, len(tone) - 1023, 1024):
        count = track.layout.nb_channels
        piece = np.repeat(tone[np.newaxis, start : start + 1024].astype(np.float32), count, 0)
        frame = av.AudioFrame.from_ndarray(piece, "fltp", track.layout.name)
        late = 48_000 * (gap * (2 * start > len(tone)) + jitter * (1 - start // 1024 % 5 / 4))
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start + round(late), Fraction(1, 48_000)
        if track.codec_context.name.startswith("pcm"):
            frame = av.AudioResampler("s16", track.layout.name, 48_000).resample(frame)[0]
        yield from track.encode(frame)
    yield from track.encode(None)


def loudness(path):
    """Of a file's sound, the root mean square in each twentieth of a second, and its codec."""
    pieces = []
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        resampler = av.AudioResampler("flt", "mono", 48_000)
        start = None
        for frame in container.decode(stream):
            start = frame.time if start is None else start
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
        samples = np.concatenate(pieces)
        codec = stream.codec_context.name
    lead = round(48_000 * (start or 0))
    samples = np.concatenate([np.zeros(max(0, lead)), samples[max(0, -lead) :]])
    whole = samples[: len(samples) // 2400 * 2400].reshape(-1, 2400)
    return np.sqrt((whole**2).mean(1)), codec


def flat(colour, height=48, width=64):
    return np.broadcast_to(np.uint8(colour), (height, width, 3)).copy()

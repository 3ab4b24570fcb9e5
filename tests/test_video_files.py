"""Videos as files: times, rotation, colours, sound, sequences, damage."""

import pathlib
import re
import warnings
from fractions import Fraction

import av
import clips
import numpy as np
import pytest
from PIL import Image

from tf_style import InputError, TransferError
from tf_style.images import reading
from tf_style.video import colour, sequence
from tf_style.video.clip import WHOLE, Colours, Span
from tf_style.video.masks import MaskFrames, is_moving
from tf_style.video.opening import open_clip
from tf_style.video.reading import VideoReader
from tf_style.video.sound import Sound
from tf_style.video.writing import check_sound, writing

MS = Fraction(1, 1000)


def copied(path, target, span=WHOLE):
    """The same frames in another file, as `stylize-video` writes them, and the frames read of it."""
    reader = VideoReader(path)
    frames = list(reader.frames(span))
    clip, size = reader.clip, frames[0].pixels.shape[:2]
    step = round(1 / (clip.rate * clip.time_base))
    times = [frame.ticks for frame in frames]
    ends = [*times[1:], times[-1] + step]
    with writing(
        str(target),
        clip,
        size,
        sound_from=str(path),
        start=clip.origin + times[0] * clip.time_base,
        end=clip.origin + ends[-1] * clip.time_base,
        restarts=reader.restarts,
        description="how",
    ) as video:
        for frame, end in zip(frames, ends, strict=True):
            pixels = np.rint(255 * frame.pixels).astype(np.uint8)
            video.write(pixels, frame.ticks - times[0], end - frame.ticks)
    return VideoReader(target)


def seconds(reader, span=WHOLE):
    return [float(frame.ticks * reader.clip.time_base) for frame in reader.frames(span)]


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "webm"])
def test_variable_times_are_kept(tmp_path, extension):
    times = [0, 40, 50, 200, 220, 300, 333]
    path = clips.write(tmp_path / "in.mp4", clips.moving(7), times=times, time_base=MS)
    reader = copied(path, tmp_path / f"out.{extension}")
    np.testing.assert_allclose(seconds(reader), np.array(times) / 1000, atol=1e-9)


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_frames_are_upright(tmp_path, turn, is_mirrored):
    frame = clips.flat((200, 60, 60))
    frame[:24, :32] = (40, 60, 200)  # The corner at the top left, as it lies in the file.
    flags = {"rotation": turn, "is_mirrored": is_mirrored}
    reader = VideoReader(clips.write(tmp_path / "in.mp4", [frame] * 2, **flags))
    pixels = next(reader.frames()).pixels
    assert pixels.shape[:2] == (reader.clip.height, reader.clip.width)
    # Against the clock, as FFmpeg's rotation counts.
    expected = np.rot90(frame, turn // 90)
    expected = expected[:, ::-1] if is_mirrored else expected
    # Up to the codec's and the halved colours' errors at edges.
    assert np.abs(255 * pixels - expected).mean() < 4


@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("rgb", [(250, 30, 60), (20, 128, 230), (128, 128, 128), (0, 0, 0)])
def test_colours_there_and_back(matrix, is_full_range, rgb):
    colours = Colours(matrix, is_full_range)
    frame = colour.from_rgb(clips.flat(rgb, 8, 8), colours)
    back = 255 * colour.to_rgb(frame, colours)
    # Y is rounded to 219 or 255 values and the differences likewise: half of one in each, through the
    # matrix, whose rows add up to at most 1 + 1.88.
    assert np.abs(back - rgb).max() <= 0.5 * 255 / 219 * (1 + 1.89) + 0.01


def test_colours_are_those_of_the_definition():
    colours = Colours(1)
    frame = colour.from_rgb(clips.flat((255, 0, 0), 8, 8), colours)
    values = [np.frombuffer(memoryview(plane), np.uint8)[0] for plane in frame.planes]
    # Red in BT.709, limited range (ITU-R BT.709, item 3 and 4), 8 bits.
    assert values == [63, 102, 240]


@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "gray", "gray10le"]
)
def test_levels_are_those_of_the_definition(pixel_format, is_full_range):
    """A grey of 64 parts of 256, in every kind of frame."""
    frame = av.VideoFrame(20, 16, pixel_format)
    bits = frame.format.components[0].bits
    for index, plane in enumerate(frame.planes):
        dtype = np.uint8 if bits == 8 else np.uint16
        samples = np.full(
            plane.buffer_size // np.dtype(dtype).itemsize, (128 if index else 64) << (bits - 8)
        )
        plane.update(samples.astype(dtype).tobytes())
    frame.color_range = colour.FULL if is_full_range else colour.LIMITED
    found = 255 * colour.to_rgb(frame, Colours(1, is_full_range))
    np.testing.assert_allclose(found, 64 if is_full_range else (64 - 16) * 255 / 219, atol=0.01)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"matrix": 1}, (1, False)),
        ({"matrix": 1, "is_full_range": True}, (1, True)),
        ({"matrix": 5}, (5, False)),
        ({}, (6, False)),
    ],
)
def test_matrix_and_range_are_kept(tmp_path, how, expected):
    path = clips.write(tmp_path / "in.mp4", [clips.flat((200, 90, 40))] * 3, **how)
    reader = copied(path, tmp_path / "out.mp4")
    assert (reader.clip.colours.matrix, reader.clip.colours.is_full_range) == expected
    for each in (VideoReader(path), reader):
        pixels = 255 * next(each.frames()).pixels
        # FFmpeg's own conversion, in the input, is off by up to 2 levels.
        assert np.abs(pixels - (200, 90, 40)).max() < 4


def test_more_bits_and_odd_sizes_are_read(tmp_path):
    frames = [clips.flat((200, 90, 40), 47, 63)] * 2
    path = clips.write(tmp_path / "in.mkv", frames, codec="ffv1", pixel_format="yuv444p10le")
    reader = VideoReader(path)
    pixels = next(reader.frames()).pixels
    assert pixels.shape == (47, 63, 3)
    assert np.abs(255 * pixels - (200, 90, 40)).max() < 2


def test_pixels_that_are_not_square(tmp_path):
    path = clips.write(tmp_path / "in.mp4", clips.moving(2), aspect=Fraction(4, 3))
    clip = VideoReader(path).clip
    assert (clip.height, clip.width) == (48, 85)


@pytest.mark.parametrize(
    ("source", "codec", "target", "kept"),
    [
        ("mp4", "aac", "mp4", "aac"),
        ("mkv", "libopus", "webm", "opus"),
        ("mp4", "aac", "webm", "opus"),
        ("mkv", "pcm_s16le", "mkv", "pcm_s16le"),
    ],
)
def test_sound_is_kept(tmp_path, source, codec, target, kept):
    path = clips.write(tmp_path / f"in.{source}", clips.moving(20), sound=codec)
    out = tmp_path / f"out.{target}"
    copied(path, out)
    before, _ = clips.loudness(path)
    after, found = clips.loudness(out)
    assert found == kept
    # Beeps and pauses at the same times; that another codec changes them little is measured.
    count = min(len(before), len(after)) - 1
    assert count >= 14
    np.testing.assert_allclose(after[:count], before[:count], atol=0.03)


def test_a_part_has_its_own_sound(tmp_path):
    path = clips.write(tmp_path / "in.mp4", clips.moving(50), sound="aac")
    out = tmp_path / "out.mp4"
    reader = copied(path, out, Span.of(1.2, 1.76, 1))
    assert seconds(reader) == pytest.approx(np.arange(14) / 25)
    whole, _ = clips.loudness(path)
    part, _ = clips.loudness(out)
    # 20 pieces a second; a packet of 21 ms may be missing at the beginning.
    assert (part[1:10] > 0.1).tolist() == (whole[25:34] > 0.1).tolist()


def test_every_second_frame_at_its_own_time(tmp_path):
    reader = VideoReader(clips.write(tmp_path / "in.mp4", clips.moving(7)))
    assert seconds(reader, Span(every=2)) == pytest.approx([0, 0.08, 0.16, 0.24])
    assert seconds(reader, Span.of(0.1, 0.2, 1)) == pytest.approx([0.12, 0.16])


@pytest.mark.parametrize("extension", ["ts", "mpg", "h264", "mp4"])
def test_a_part_begins_at_its_time_where_seeking_leads_elsewhere(tmp_path, extension):
    codec = {"mpg": "mpeg2video"}.get(extension, "libx264")
    options = {"g": "10", "bf": "2"}
    path = clips.write(tmp_path / f"in.{extension}", clips.moving(40), codec=codec, options=options)
    reader = VideoReader(path)
    whole = [frame.ticks for frame in reader.frames()]
    start = whole[10] * reader.clip.time_base
    assert [frame.ticks for frame in reader.frames(Span(start=start))] == whole[10:]


def test_sound_keeps_its_gaps(tmp_path):
    """Encoded anew too: after its half it is silent for a second."""
    path = clips.write(tmp_path / "in.mkv", clips.moving(50), sound="aac", seconds=1, gap=1)
    copied(path, tmp_path / "out.webm")
    found, codec = clips.loudness(tmp_path / "out.webm")
    assert codec == "opus"
    assert found[12:29].max() < 0.01
    assert found[31:39].max() > 0.1
    # What only comes late for a moment makes one gap at most, of 60 ms.
    how = {"sound": "aac", "seconds": 2, "jitter": 0.06}
    path = clips.write(tmp_path / "late.mkv", clips.moving(50), **how)
    copied(path, tmp_path / "out.webm")
    assert 39 <= len(clips.loudness(tmp_path / "out.webm")[0]) <= 42


def test_channels_without_places_are_written_where_each_has_one(tmp_path):
    path = clips.write(tmp_path / "in.avi", clips.moving(5), sound="pcm_s16le", layout="stereo")
    with av.open(path) as container:
        assert container.streams.audio[0].layout.name == "2 channels"
    check_sound("out.mp4", VideoReader(path).clip, (48, 64), path)
    copied(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].layout.name == "stereo"


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_a_clock_that_starts_anew_goes_on(tmp_path, extension):
    """As of files that were joined."""
    options = {"g": "5", "bf": "0"}
    how = {"sound": "mp2", "options": options}
    moving = clips.moving(30)
    first = clips.write(tmp_path / "a.ts", moving, **how)
    second = clips.write(tmp_path / "b.ts", [255 - each for each in moving], **how)
    data = b"".join(pathlib.Path(path).read_bytes() for path in (first, second))
    (tmp_path / "twice.ts").write_bytes(data)
    frames = VideoReader(tmp_path / "twice.ts").frames(Span.of(0.4, 0.5, 1))
    # The codec's error: measured, 14, and 34 or more to any other frame.
    assert np.abs(255 * next(frames).pixels - moving[10]).mean() < 20
    with warnings.catch_warnings(action="ignore"):
        reader = copied(tmp_path / "twice.ts", tmp_path / f"out.{extension}")
    times = seconds(reader)
    assert len(times) == 60
    np.testing.assert_allclose(np.diff(times), 0.04, atol=2e-3)
    assert len(clips.loudness(tmp_path / f"out.{extension}")[0]) >= 44
    # The sound is of the same part as the pictures.
    reader = copied(tmp_path / "twice.ts", tmp_path / f"part.{extension}", Span.of(0.4, 1.6, 1))
    assert len(seconds(reader)) == 30
    whole, _ = clips.loudness(tmp_path / f"out.{extension}")
    part, _ = clips.loudness(tmp_path / f"part.{extension}")
    assert 23 <= len(part) <= 25
    assert (part[1:22] > 0.1).tolist() == (whole[9:30] > 0.1).tolist()


def test_sound_shorter_than_its_pictures_starts_anew_with_them(tmp_path):
    data = b""
    for seconds_of_sound in (0.4, 1.2):
        path = clips.write(
            *(tmp_path / "in.ts", clips.moving(30)),
            **{"sound": "mp2", "seconds": seconds_of_sound, "options": {"g": "5", "bf": "0"}},
        )
        data += pathlib.Path(path).read_bytes()
    (tmp_path / "joined.ts").write_bytes(data)
    with warnings.catch_warnings(action="ignore"):
        copied(tmp_path / "joined.ts", tmp_path / "out.webm")
    found, _ = clips.loudness(tmp_path / "out.webm")
    assert found[10:23].max() < 0.02
    assert found[25:].max() > 0.1


def test_damaged_sound_is_left_out(tmp_path):
    path = pathlib.Path(clips.write(tmp_path / "in.mkv", clips.moving(40), sound="libmp3lame"))
    data = bytearray(path.read_bytes())
    start = data.index(b"\xff\xfb", len(data) // 2)
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="sound is damaged at"):
        reader = copied(path, tmp_path / "out.webm")
    assert len(list(reader.frames())) == 40
    assert clips.loudness(tmp_path / "out.webm")[1] == "opus"


def test_sound_that_no_container_takes_is_refused_before(tmp_path, monkeypatch):
    path = clips.write(tmp_path / "in.mkv", clips.moving(2), sound="aac")
    clip = VideoReader(path).clip
    check_sound("out.mp4", clip, (48, 64), path)

    def no_sound(*args, **options):
        raise ValueError("no such layout")

    monkeypatch.setattr("tf_style.video.writing.Sound", no_sound)
    with pytest.raises(InputError, match="cannot be written to out.mp4: no such layout"):
        check_sound("out.mp4", clip, (48, 64), path)


def test_channels_and_languages(tmp_path):
    path = clips.write(
        *(tmp_path / "in.mkv", clips.moving(5)), sound="aac", layout="5.1", language="fin"
    )
    copied(path, tmp_path / "out.mp4")
    with pytest.warns(UserWarning, match="6 channels become two"):
        copied(path, tmp_path / "out.webm")
    for name, channels in (("out.mp4", 6), ("out.webm", 2)):
        with av.open(str(tmp_path / name)) as container:
            (stream,) = container.streams.audio
            assert (stream.layout.nb_channels, stream.language) == (channels, "fin")


@pytest.fixture
def bad_files(tmp_path):
    data = pathlib.Path(clips.write(tmp_path / "whole.mkv", clips.moving(40), sound="aac")).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: 2 * len(data) // 3])
    ts = pathlib.Path(clips.write(tmp_path / "whole.ts", clips.moving(40))).read_bytes()
    middle = len(ts) // 2 // 188 * 188 + 50  # Within a packet of 188 bytes, after its header.
    changed = bytes(byte ^ 0x5A for byte in ts[middle : middle + 100])
    (tmp_path / "changed.ts").write_bytes(ts[:middle] + changed + ts[middle + 100 :])
    data = pathlib.Path(clips.write(tmp_path / "whole.mp4", clips.moving(4))).read_bytes()
    (tmp_path / "no_index.mp4").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.mp4").write_text("no video\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("name", ["none.mp4", "no_index.mp4", "text.mp4", "empty.mp4"])
def test_what_is_no_video_is_refused(bad_files, name):
    with pytest.raises(InputError, match=f"{name} cannot be read: .*Expected a video"):
        VideoReader(bad_files / name)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=48_000)
        track.layout = "mono"
        for packet in clips._beeps(track, 0.3):
            container.mux(packet)
    with pytest.raises(InputError, match="has no pictures"):
        VideoReader(path)


def test_a_truncated_video_gives_what_it_has_and_says_where_it_ends(bad_files):
    got = []
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(TransferError, match=r"cut.mkv breaks off after \d\.\d+ s of 1\.6"),
    ):
        got.extend(VideoReader(bad_files / "cut.mkv").frames())
    assert 20 <= len(got) < 40


def test_a_truncated_video_is_told_from_a_whole_one_beside_a_time_code(tmp_path):
    """Whose one packet, at the beginning, goes to the end."""
    options = {"time_code": "01:00:00:00", "sound": "aac"}
    path = pathlib.Path(clips.write(tmp_path / "in.mov", clips.moving(40), **options))
    with av.open(str(path)) as container:
        assert [each.type for each in container.streams] == ["video", "audio", "data"]
    assert len(list(VideoReader(path).frames())) == 40
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    path.write_bytes(data[: 2 * len(data) // 3])
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(TransferError, match=r"in.mov breaks off after \d\.\d+ s of 1\.6"),
    ):
        list(VideoReader(path).frames())


def test_damage_is_told_with_its_time(bad_files):
    reader = VideoReader(bad_files / "changed.ts")
    with pytest.warns(UserWarning, match=r"changed.ts is damaged at \d\.\d+ s"):
        frames = list(reader.frames())
    assert len(frames) > 30


def test_damage_before_the_start_is_told_where_it_is_seen(tmp_path):
    """Up to the next key frame. In a TS, which is read from its beginning."""
    options = {"g": "10", "bf": "0", "x264-params": "scenecut=0"}
    path = pathlib.Path(clips.write(tmp_path / "in.ts", clips.moving(40), options=options))
    data, reader = path.read_bytes(), VideoReader(path)

    def told_from(start):
        with warnings.catch_warnings(record=True, action="always") as told:
            assert list(reader.frames(Span.of(start, None, 1)))
        assert (reader.damage is not None) == (len(told) == 1)
        return reader.damage

    found, place = None, len(data) // 2
    while found is None:  # Not all that is changed is seen.
        place = place // 188 * 188 + 188 + 50
        changed = bytes(byte ^ 0x5A for byte in data[place : place + 100])
        path.write_bytes(data[:place] + changed + data[place + 100 :])
        found = told_from(0)
    at = float(re.search(r"at (\d\.\d+) s", found)[1])
    key = -(-round(25 * at + 1) // 10) * 10 / 25
    assert 0.4 < at < key < 1.4
    assert told_from(key - 0.04) == found
    assert told_from(key) is None


def test_sound_that_cannot_be_read_on_ends_there(tmp_path, monkeypatch):
    path = clips.write(tmp_path / "in.mkv", clips.moving(50), sound="aac")

    class Container:
        """Breaks a second before its end."""

        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def demux(self, *streams):
            for packet in self._container.demux(*streams):
                if packet.pts is not None and packet.pts * packet.time_base > 1:
                    raise av.error.OSError(5, "Input/output error")
                yield packet

    open_file = av.open
    monkeypatch.setattr("tf_style.video.sound.av.open", lambda name, *a: Container(open_file(name, *a)))
    with open_file(str(tmp_path / "out.mkv"), "w") as output:
        # Of what ends before, nothing is to be told.
        sound = Sound(path, output, start=Fraction(0), end=Fraction(1, 2))
        assert 20 < len(list(sound.take_until(None))) < 26
        sound = Sound(path, output, start=Fraction(0), end=None)
        with pytest.warns(UserWarning, match=r"sound cannot be read after 0\.9\d+ s, and ends there"):
            assert 40 < len(list(sound.take_until(None))) < 50


@pytest.mark.filterwarnings("ignore:.*damaged")
def test_what_follows_a_damaged_packet_is_read_where_it_is_the_first(tmp_path, monkeypatch):
    path = clips.write(tmp_path / "in.mp4", clips.moving(20), options={"g": "10", "bf": "0"})
    with av.open(path) as container:
        packet = next(container.demux(video=0))
        place, size = packet.pos, packet.size
    data = bytearray(pathlib.Path(path).read_bytes())
    data[place : place + size] = bytes(size)
    # Nor is what is before a colon a protocol.
    (tmp_path / "at 12:30.mp4").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    reader = VideoReader("at 12:30.mp4")
    assert seconds(reader)[-10:] == pytest.approx([index / 25 for index in range(10, 20)])
    assert reader.damage is not None


def test_what_follows_a_damaged_packet_is_read(tmp_path):
    path = clips.write(tmp_path / "in.mp4", clips.moving(40), options={"g": "10", "bf": "0"})
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[15].pos, packets[15].size
    data = bytearray(pathlib.Path(path).read_bytes())
    data[place : place + size] = bytes(size)
    (tmp_path / "bad.mp4").write_bytes(data)
    reader = VideoReader(tmp_path / "bad.mp4")
    with pytest.warns(UserWarning, match=r"bad.mp4 is damaged at 0\.[56]\d+ s"):
        frames = list(reader.frames())
    assert frames[-1].ticks * reader.clip.time_base == Fraction(39, 25)
    assert len(frames) >= 30
    assert reader.damage is not None
    # Of a mask nobody knows what it was.
    mask = MaskFrames(str(tmp_path / "bad.mp4"), reader.clip, reading.read_mask)
    with warnings.catch_warnings(action="ignore"), pytest.raises(TransferError, match="is damaged"):
        mask.at(Fraction(39, 25))


def test_palettes_have_colours():
    palette = np.zeros((256, 4), np.uint8)
    palette[:2] = (255, 200, 0, 0), (255, 0, 90, 250)  # Transparency first.
    places = np.uint8([[0, 1] * 8] * 16)
    frame = av.VideoFrame.from_ndarray((places, palette), "pal8")
    pixels = 255 * colour.to_rgb(frame, Colours(1))
    np.testing.assert_allclose(pixels[0, :2], [(200, 0, 0), (0, 90, 250)], atol=0.6)


def test_the_decoder_has_no_threads_that_could_wait_for_the_one_that_closes_it(tmp_path):
    """Their deadlock is too rare on some machines for a test to wait for it."""
    reader = VideoReader(clips.write(tmp_path / "in.mp4", clips.moving(3)))
    with reader._open() as (container, stream):
        assert next(container.decode(stream)) is not None
        assert stream.thread_type.name == "NONE"


def test_pictures_are_a_video(tmp_path):
    for number, name in enumerate(["p2.png", "p10.png", "p1.png"]):
        Image.new("RGB", (20, 16), (50 * number, 0, 0)).save(tmp_path / name)
    reader = open_clip(str(tmp_path), Fraction(10))
    assert [pathlib.Path(path).name for path in reader.paths] == ["p1.png", "p2.png", "p10.png"]
    assert (reader.clip.height, reader.clip.width, reader.clip.seconds) == (16, 20, 0.3)
    assert seconds(reader, Span(every=2)) == [0, 0.2]
    with pytest.raises(InputError, match="p3.png is missing"):
        sequence.find(str(tmp_path / "p%d.png"))
    for name in ("t1.png", "t20240501123000000.png"):  # As times are.
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="t2.png is missing"):
        sequence.find(str(tmp_path / "t%d.png"))
    for name in ("t1.png", "t20240501123000000.png"):
        (tmp_path / name).unlink()
    Image.new("RGB", (20, 17)).save(tmp_path / "p11.png")
    with pytest.raises(InputError, match="one size, 20 x 16 pixels. Received: 20 x 17 in .*p11.png"):
        open_clip(str(tmp_path), Fraction(10))
    with pytest.raises(InputError, match="no pictures"):
        sequence.find(str(tmp_path / "q%d.png"))
    assert not sequence.is_pattern("my%20dance.mp4")


def test_what_only_the_pixels_tell_of_a_picture_ends_the_frames(tmp_path):
    """One on its side, by its EXIF or not, and one that is damaged."""
    for name, size in (("1.png", (20, 16)), ("2.png", (16, 20)), ("3.png", (20, 16))):
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(TransferError, match="20 x 16 pixels. Received: 16 x 20 in .*2.png"):
        list(open_clip(str(tmp_path), Fraction(10)).frames())
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (16, 20)).save(tmp_path / "2.png", exif=turned)
    data = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(data[:-30])
    frames = open_clip(str(tmp_path), Fraction(10)).frames()
    assert [next(frames).pixels.shape for _ in range(2)] == [(16, 20, 3)] * 2
    with pytest.raises(TransferError, match=r"3.png .*\.$"):
        next(frames)


def test_transparency_is_told_of(tmp_path):
    Image.new("RGBA", (20, 16), (9, 9, 9, 99)).save(tmp_path / "1.png")
    with pytest.warns(UserWarning, match="transparent"):
        open_clip(str(tmp_path), Fraction(10))


def test_masks_are_of_square_pixels_and_animations_move(tmp_path):
    masks = [clips.flat((0, 0, 0)), clips.flat((255, 255, 255))]
    clip = VideoReader(clips.write(tmp_path / "in.mp4", clips.moving(2), aspect=Fraction(4, 3))).clip
    wide = clips.write(tmp_path / "mask.mp4", masks, aspect=Fraction(4, 3))
    images = [Image.fromarray(each).resize((85, 48)) for each in masks]
    images[0].save(tmp_path / "mask.gif", save_all=True, append_images=images[1:], duration=40)
    for path in (wide, str(tmp_path / "mask.gif")):
        frames = MaskFrames(path, clip, reading.read_mask)
        for index in range(2):
            pixels = frames.at(Fraction(index, 25)).pixels
            assert pixels.shape == (48, 85, 3)
            np.testing.assert_allclose(pixels, index, atol=0.02)
    # Times of 33 and 67 ms are those of frames of a thirtieth of a second.
    mask_values = [clips.flat((index % 2 * 255,) * 3) for index in range(8)]
    how = {"codec": "ffv1", "pixel_format": "gray", "rate": 30}
    moving = clips.write(tmp_path / "moving.mkv", mask_values, **how)
    clip = VideoReader(clips.write(tmp_path / "thirty.mp4", clips.moving(8), rate=30)).clip
    frames = MaskFrames(moving, clip, reading.read_mask)
    found = [round(frames.at(Fraction(index, 30)).pixels.mean()) for index in range(8)]
    assert found == [0, 1] * 4
    # Nor have pictures times that are rounded.
    for name in ("content", "masks"):
        (tmp_path / name).mkdir()
    for index, pixels in enumerate(mask_values):
        Image.fromarray(pixels).save(tmp_path / "masks" / f"{index}.png")
        Image.fromarray(pixels).save(tmp_path / "content" / f"{index}.png")
    clip = open_clip(str(tmp_path / "content"), Fraction(30)).clip
    frames = MaskFrames(str(tmp_path / "masks"), clip, reading.read_mask)
    assert [round(frames.at(Fraction(i, 30)).pixels.mean()) for i in range(8)] == [0, 1] * 4
    images[0].save(tmp_path / "still.gif")
    assert not is_moving(str(tmp_path / "still.gif"))

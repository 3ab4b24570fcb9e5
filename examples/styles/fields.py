"""What the painters share: noise, blur, curves, masks and light over a relief."""

import numpy as np
from PIL import Image, ImageDraw


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Rises smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a, b, share: np.ndarray) -> np.ndarray:
    """From colour `a` (share 0) to colour `b` (share 1); `share` is [height, width]."""
    share = np.asarray(share)[..., np.newaxis]
    return np.asarray(a) * (1 - share) + np.asarray(b) * share


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The x and y of every pixel's centre, each [height, width], in pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    return x, y


def blur(field: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of [height, width] with reflecting borders, by FFT."""
    pad = int(3 * sigma) + 2
    height, width = field.shape
    after = [pad + -(size + 2 * pad) % 32 for size in field.shape]  # Even sizes transform fast.
    padded = np.pad(field, [(pad, extra) for extra in after], mode="symmetric")
    frequency_y = np.fft.fftfreq(padded.shape[0])[:, np.newaxis]
    frequency_x = np.fft.rfftfreq(padded.shape[1])
    gain = np.exp(-2 * (np.pi * sigma) ** 2 * (frequency_y**2 + frequency_x**2))
    smooth = np.fft.irfft2(np.fft.rfft2(padded) * gain.astype(np.float32), padded.shape)
    return smooth[pad : pad + height, pad : pad + width].astype(np.float32)


def noise(rng, height: int, width: int, cell_x: float, cell_y: float | None = None, octaves: int = 4):
    """Fractal noise, [height, width], mean 0 and deviation 1; cells in pixels."""
    cell_y = cell_y or cell_x
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = max(2, round(height * 2**octave / cell_y)) + 2
        columns = max(2, round(width * 2**octave / cell_x)) + 2
        coarse = Image.fromarray(rng.normal(size=(rows, columns)).astype(np.float32))
        box = (1, 1, columns - 1, rows - 1)
        fine = coarse.resize((width, height), Image.Resampling.BICUBIC, box=box)
        total += np.asarray(fine) * 0.5**octave
    return (total - total.mean()) / total.std()


def sample(field: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The field, [height, width, ...], read at points in pixels, linearly between centres."""
    height, width = field.shape[:2]
    x, y = np.clip(x - 0.5, 0, width - 1.001), np.clip(y - 0.5, 0, height - 1.001)
    column, row = x.astype(int), y.astype(int)
    u, v = x - column, y - row
    if field.ndim == 3:
        u, v = u[..., np.newaxis], v[..., np.newaxis]
    top = field[row, column] * (1 - u) + field[row, column + 1] * u
    bottom = field[row + 1, column] * (1 - u) + field[row + 1, column + 1] * u
    return top * (1 - v) + bottom * v


def curve(points, count: int = 80, closed: bool = False) -> np.ndarray:
    """A Catmull-Rom spline through the points: [count, 2]."""
    points = np.asarray(points, np.float64)
    if closed:
        points = np.concatenate([points[-1:], points, points[:2]])
    else:
        points = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, len(points) - 3 - 1e-9, count)
    i = t.astype(int)
    t = (t - i)[:, np.newaxis]
    a, b, c, d = (points[i + k] for k in range(4))
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )


def normals(path: np.ndarray) -> np.ndarray:
    """Unit normals of a path, [count, 2]."""
    normal = np.gradient(path, axis=0)[:, ::-1] * (-1, 1)
    return normal / np.maximum(np.hypot(*normal.T), 1e-9)[:, np.newaxis]


def ribbon(path: np.ndarray, widths) -> np.ndarray:
    """The outline of a line along the path, of the given width at each point."""
    side = normals(path) * (np.broadcast_to(widths, len(path)) / 2)[:, np.newaxis]
    return np.concatenate([path + side, (path - side)[::-1]])


def mask(height: int, width: int, polygons, scale: int = 3) -> np.ndarray:
    """What the polygons (in pixels) cover, [height, width], 0 to 1."""
    image = Image.new("L", (width * scale, height * scale))
    draw = ImageDraw.Draw(image)
    for polygon in polygons:
        draw.polygon((np.asarray(polygon) * scale).ravel().tolist(), fill=255)
    return np.asarray(image.reduce(scale), np.float32) / 255


def lit(colour: np.ndarray, relief: np.ndarray, shade: float, shine: float = 0.0) -> np.ndarray:
    """The colours, [height, width, 3], under light from the upper left on a relief in pixels."""
    slope_y, slope_x = np.gradient(relief)
    normal_z = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    light = (0.45 * slope_x + 0.6 * slope_y + 0.66) * normal_z
    half = (0.25 * slope_x + 0.33 * slope_y + 0.91) * normal_z
    glint = np.clip(half, 0, 1) ** 40 - 0.91**40
    shaded = colour * (1 + shade * (light - 0.66))[..., np.newaxis]
    return shaded + shine * np.clip(glint, -0.1, 1)[..., np.newaxis]


def picture(colour: np.ndarray) -> Image.Image:
    """Colours from 0 to 1 as an RGB picture."""
    return Image.fromarray((np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8))

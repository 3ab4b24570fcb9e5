"""The weights: the embedded ones, Keras's files, what is refused, and normalisation."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest

from tf_style import InputError
from tf_style.network import weights
from tf_style.network.architecture import LAYERS

FIRST = LAYERS[:2]


def random_weights(layers=FIRST):
    generator = np.random.default_rng(6)
    return {
        layer.name: (
            generator.normal(size=(3, 3, layer.in_channels, layer.channels)).astype(np.float32),
            generator.normal(size=layer.channels).astype(np.float32),
        )
        for layer in layers
    }


# Where Keras 1 and 2, and TensorFlow's Keras, put a layer's two arrays.
LAYOUTS = {
    "keras1": ("{0}/{0}_W_1:0", "{0}/{0}_b_1:0"),
    "keras2": ("{0}/{0}/kernel:0", "{0}/{0}/bias:0"),
    "model": ("model_weights/{0}/{0}/kernel:0", "model_weights/{0}/{0}/bias:0"),
    "flat": ("{0}/kernel", "{0}/bias"),
}


def write_h5(path, arrays, layout="keras1"):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            for place, value in zip(LAYOUTS[layout], values, strict=True):
                file[place.format(name)] = value
    return str(path)


def test_embedded_weights_equal_their_source():
    loaded = weights.load("embedded")
    assert list(loaded) == [layer.name for layer in LAYERS]
    with zipfile.ZipFile(weights._data("vgg19_conv_8bit.npz")) as source:

        def read(name):
            return np.lib.format.read_array(io.BytesIO(source.read(f"{name}.npy")), allow_pickle=False)

        for layer in LAYERS:
            kernel, bias = loaded[layer.name]
            assert kernel.shape == (3, 3, layer.in_channels, layer.channels)
            codes, codebook = read(f"{layer.name}/codes"), read(f"{layer.name}/codebook")
            assert codebook.shape == (256,)
            assert (kernel == np.take(codebook, codes)).all()
            assert (bias == read(f"{layer.name}/bias")).all()
            assert kernel.dtype == bias.dtype == np.float32


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_keras_files(tmp_path, layout):
    expected = random_weights()
    loaded = weights.load(write_h5(tmp_path / "vgg.h5", expected, layout), FIRST)
    assert list(loaded) == list(expected)
    for name, arrays in expected.items():
        for received, array in zip(loaded[name], arrays, strict=True):
            assert (received == array).all()


def first_layers(arrays):
    x = inputs = keras.Input((None, None, 3))
    for name, values in arrays.items():
        convolution = keras.layers.Conv2D(64, 3, name=name)
        x = convolution(x)
        convolution.set_weights(values)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("name", ["vgg.weights.h5", "vgg.h5"])
# Keras 3.15 with NumPy 2: its own variables, as arrays.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_reads_what_this_keras_writes(tmp_path, name):
    expected = random_weights()
    model = first_layers(expected)
    path = str(tmp_path / name)
    model.save_weights(path) if name.endswith(".weights.h5") else model.save(path)
    loaded = weights.load(path, FIRST)
    for layer, arrays in expected.items():
        for received, array in zip(loaded[layer], arrays, strict=True):
            assert (received == array).all()


def test_reads_other_floats_as_float32(tmp_path):
    arrays = random_weights()
    path = write_h5(
        tmp_path / "vgg.h5",
        {name: (kernel.astype("f8"), bias.astype("f2")) for name, (kernel, bias) in arrays.items()},
    )
    for name, (kernel, bias) in weights.load(path, FIRST).items():
        assert kernel.dtype == bias.dtype == np.float32
        assert (kernel == arrays[name][0]).all()
        assert (bias == arrays[name][1].astype("f2")).all()


def wrong_shape(arrays):
    arrays["block1_conv2"] = arrays["block1_conv2"][0][..., :-1], arrays["block1_conv2"][1]


def wrong_length(arrays):
    arrays["block1_conv2"] = arrays["block1_conv2"][0], arrays["block1_conv2"][1][:-1]


def not_finite(arrays):
    arrays["block1_conv1"][0][1, 1, 0, 0] = np.nan


def infinite(arrays):
    arrays["block1_conv2"][1][5] = np.inf


def beyond_float32(arrays):
    arrays["block1_conv1"] = arrays["block1_conv1"][0].astype("f8") * 1e300, arrays["block1_conv1"][1]


def no_batch_of_filters(arrays):
    arrays["block1_conv1"] = arrays["block1_conv1"][0].transpose(3, 2, 0, 1), arrays["block1_conv1"][1]


def scalars(arrays):
    arrays["block1_conv1"] = np.float32(1), np.float32(2)


def text(arrays):
    arrays["block1_conv1"] = arrays["block1_conv1"][0], "bias"


def integers(arrays):
    arrays["block1_conv1"] = arrays["block1_conv1"][0].astype(int), arrays["block1_conv1"][1]


def missing(arrays):
    del arrays["block1_conv2"]


SPOILERS = (
    wrong_shape,
    wrong_length,
    not_finite,
    infinite,
    beyond_float32,
    no_batch_of_filters,
    scalars,
    text,
    integers,
    missing,
)


@pytest.mark.parametrize("spoil", SPOILERS)
def test_refuses_other_arrays(tmp_path, spoil):
    arrays = random_weights()
    spoil(arrays)
    with pytest.raises(InputError, match=r"block1_conv\d") as caught:
        weights.load(write_h5(tmp_path / "vgg.h5", arrays), FIRST)
    assert "\n" not in str(caught.value)


def test_refuses_an_array_too_many(tmp_path):
    path = write_h5(tmp_path / "vgg.h5", random_weights())
    with h5py.File(path, "a") as file:
        file["block1_conv1/gamma"] = np.ones(64, np.float32)
    with pytest.raises(InputError, match="block1_conv1"):
        weights.load(path, FIRST)


def test_refuses_two_networks_in_one_file(tmp_path):
    path = write_h5(tmp_path / "vgg.h5", random_weights(), "keras2")
    with h5py.File(path, "a") as file:
        file.copy("block1_conv2", "other/block1_conv2")
    with pytest.raises(InputError, match="block1_conv2"):
        weights.load(path, FIRST)


def test_refuses_arrays_in_other_files_and_huge_claims(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4096))
    for name, options in (
        ("external", {"shape": (64,), "external": [(str(tmp_path / "secret"), 0, 256)]}),
        ("huge", {"shape": (2**40,), "chunks": (2**20,)}),
        ("huge-items", {"shape": (64,), "dtype": "S100000000", "chunks": (1,)}),
    ):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("block1_conv1/bias", **({"dtype": "f4"} | options))
            file["block1_conv1/kernel"] = np.zeros((3, 3, 3, 64), np.float32)
        with pytest.raises(InputError, match="block1_conv1") as caught:
            weights.load(str(path), FIRST)
        assert "\n" not in str(caught.value)


def test_refuses_a_dataset_pieced_together_from_other_files(tmp_path):
    path = write_h5(tmp_path / "vgg.h5", random_weights())
    layout = h5py.VirtualLayout(shape=(64,), dtype="f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", shape=(64,))
    with h5py.File(path, "a") as file:
        del file["block1_conv1/block1_conv1_b_1:0"]
        file.create_virtual_dataset("block1_conv1/block1_conv1_b_1:0", layout)
    with pytest.raises(InputError, match="another kind"):
        weights.load(path, FIRST)


def test_refuses_a_folder(tmp_path):
    with pytest.raises(InputError, match="Received"):
        weights.load(str(tmp_path), FIRST)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x89HDF\r\n\x1a\n" + bytes(100), None])
def test_refuses_what_is_no_hdf5_file(tmp_path, content):
    path = tmp_path / "weights.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="weights") as caught:
        weights.load(str(path), FIRST)
    assert "\n" not in str(caught.value)


def test_refuses_a_truncated_file(tmp_path):
    path = tmp_path / "weights.h5"
    write_h5(path, random_weights())
    data = path.read_bytes()
    for length in range(1, len(data), len(data) // 7):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="weights") as caught:
            weights.load(str(path), FIRST)
        assert "\n" not in str(caught.value)


def test_a_failed_download_is_one_line(monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://example.org/vgg.h5\nand more")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(InputError, match="embedded") as caught:
        weights.load("imagenet")
    assert "\n" not in str(caught.value)


def test_the_download_is_read_by_name(monkeypatch, tmp_path):
    expected = random_weights()
    path = tmp_path / "imagenet.h5"
    requests = []

    def download(name, *, origin, **options):
        requests.append(options)
        assert origin.endswith(f"/vgg19/{name}")
        return str(path)

    monkeypatch.setattr(keras.utils, "get_file", download)
    write_h5(path, expected)
    loaded = weights.load("imagenet", FIRST)
    # As `keras.applications.VGG19` has it, so that both share a copy.
    assert requests == [{"cache_subdir": "models", "file_hash": "253f8cb515780f3b799900260a226db6"}]
    for name, arrays in expected.items():
        for received, array in zip(loaded[name], arrays, strict=True):
            assert (received == array).all()
    not_finite(expected)
    write_h5(path, expected)
    with pytest.raises(InputError, match="imagenet"):
        weights.load("imagenet", FIRST)


def test_normalisation_divides_by_the_means_and_makes_up_for_it_in_the_next_layer():
    arrays = random_weights()
    generator = np.random.default_rng(7)
    means = {layer.name: generator.uniform(0.5, 2, layer.channels).astype("f4") for layer in FIRST}
    normalized = weights.normalize(arrays, means)
    first, second = (layer.name for layer in FIRST)
    np.testing.assert_array_equal(normalized[first][0], arrays[first][0] / means[first])
    np.testing.assert_array_equal(normalized[first][1], arrays[first][1] / means[first])
    for out in (0, 63):
        np.testing.assert_allclose(
            normalized[second][0][..., out],
            arrays[second][0][..., out] * means[first] / means[second][out],
            rtol=3e-7,  # Three roundings of float32.
        )


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_every_shipped_mean_is_positive(pooling):
    for layer, means in zip(LAYERS, weights.mean_activations(pooling).values(), strict=True):
        assert means.shape == (layer.channels,)
        assert (means > 0).all()

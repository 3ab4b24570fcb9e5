"""The weights: the embedded ones, Keras's files, what is refused, and normalisation."""

import h5py
import numpy as np
import pytest

from tf_style import InputError, weights
from tf_style.architecture import LAYERS

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
    with np.load(weights._data("vgg19_conv_8bit.npz")) as source:
        for layer in LAYERS:
            kernel, bias = loaded[layer.name]
            assert kernel.shape == (3, 3, layer.in_channels, layer.channels)
            codes, codebook = source[f"{layer.name}/codes"], source[f"{layer.name}/codebook"]
            assert codebook.shape == (256,)
            assert (kernel == np.take(codebook, codes)).all()
            assert (bias == source[f"{layer.name}/bias"]).all()
            assert kernel.dtype == bias.dtype == np.float32


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_keras_files(tmp_path, layout):
    expected = random_weights()
    loaded = weights.load(write_h5(tmp_path / "vgg.h5", expected, layout), FIRST)
    assert list(loaded) == list(expected)
    for name, arrays in expected.items():
        for received, array in zip(loaded[name], arrays, strict=True):
            assert (received == array).all()


def wrong_shape(arrays):
    arrays["block1_conv2"] = arrays["block1_conv2"][0][..., :-1], arrays["block1_conv2"][1]


def wrong_length(arrays):
    arrays["block1_conv2"] = arrays["block1_conv2"][0], arrays["block1_conv2"][1][:-1]


def not_finite(arrays):
    arrays["block1_conv1"][0][1, 1, 0, 0] = np.nan


def integers(arrays):
    arrays["block1_conv1"] = arrays["block1_conv1"][0].astype(int), arrays["block1_conv1"][1]


def missing(arrays):
    del arrays["block1_conv2"]


@pytest.mark.parametrize("spoil", [wrong_shape, wrong_length, not_finite, integers, missing])
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


def test_refuses_arrays_in_other_files_and_huge_claims(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4096))
    for name, options in (
        ("external", {"shape": (64,), "external": [(str(tmp_path / "secret"), 0, 256)]}),
        ("huge", {"shape": (2**40,), "chunks": (2**20,)}),
    ):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("block1_conv1/bias", dtype="f4", **options)
        with pytest.raises(InputError, match="block1_conv1"):
            weights.load(str(path), FIRST)


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
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(InputError, match="weights"):
        weights.load(str(path), FIRST)


def test_a_failed_download_is_one_line(monkeypatch):
    import keras

    def fail(**options):
        raise Exception("URL fetch failure on https://example.org/vgg.h5\nand more")

    monkeypatch.setattr(keras.applications, "VGG19", fail)
    with pytest.raises(InputError, match="embedded") as caught:
        weights.load("imagenet")
    assert "\n" not in str(caught.value)


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

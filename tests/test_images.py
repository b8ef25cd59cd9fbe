"""Decoding: every kind of picture, and every kind of damage."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from actors.errors import RowRejected
from actors.images import decode, picture

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(width: int = 64, height: int = 48) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def reason(data: bytes | None, **options: int) -> str:
    with pytest.raises(RowRejected) as caught:
        decode(data, **options)
    return caught.value.reason


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises many pixels and holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_lossless_picture_comes_out_pixel_for_pixel(format: str) -> None:
    assert np.array_equal(np.asarray(decode(encoded(noise(), format))), np.asarray(noise()))


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "GIF"])
def test_a_lossy_picture_keeps_its_size_and_colours(format: str) -> None:
    image = decode(encoded(Image.new("RGB", (40, 30), BLUE), format))
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert np.abs(np.asarray(image, int) - BLUE).max() < 6


def test_a_missing_image_is_null_input() -> None:
    assert reason(None) == "null_input"


def test_an_image_without_bytes_is_an_empty_file() -> None:
    assert reason(b"") == "empty_file"


def test_bytes_that_are_no_image_are_unreadable() -> None:
    assert reason(b"this is a text file, not a picture") == "unreadable_image"


def test_postscript_is_refused_even_though_pillow_could_open_it() -> None:
    assert reason(encoded(noise(), "EPS")) == "unreadable_image"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "PPM"])
def test_a_file_cut_in_half_is_truncated(format: str) -> None:
    data = encoded(noise(), format)
    assert reason(data[: len(data) // 2]) == "truncated_image"


def test_a_flipped_byte_in_the_pixel_data_of_a_png_is_unreadable() -> None:
    data = bytearray(encoded(noise(), "PNG"))
    data[data.index(b"IDAT") + 200] ^= 0xFF
    assert reason(bytes(data)) == "unreadable_image"


def test_a_picture_of_no_width_is_rejected() -> None:
    assert reason(png_header(0, 10)) == "unreadable_image"


def test_a_picture_smaller_than_the_task_needs_is_too_small() -> None:
    assert reason(encoded(noise(4, 40), "PNG"), min_side=8) == "image_too_small"


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason(png_header(60_000, 60_000)) == "image_too_large"


def test_the_cap_on_pixels_is_exact() -> None:
    data = encoded(noise(64, 48), "PNG")
    assert decode(data, max_pixels=64 * 48).size == (64, 48)
    assert reason(data, max_pixels=64 * 48 - 1) == "image_too_large"


def test_a_cap_above_pillows_own_limit_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(encoded(noise(), "PNG")).size == (64, 48)


def test_an_image_rotated_by_exif_comes_out_upright() -> None:
    image = Image.new("RGB", (20, 10), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(image, "JPEG", exif=exif)).size == (10, 20)


def test_an_orientation_that_means_nothing_turns_neither_pixels_nor_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    found = picture(encoded(Image.new("RGB", (20, 10)), "JPEG", exif=exif))
    assert (found.image.size, found.width, found.height) == ((20, 10), 20, 10)


def test_cmyk_becomes_the_same_colour_in_rgb() -> None:
    image = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF"))
    assert image.getpixel((8, 8)) == RED


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    image = decode(encoded(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG"))
    assert image.getpixel((8, 8)) == WHITE


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(format: str) -> None:
    ramp = np.array([[0, 257, 32_768, 65_535]], dtype=np.uint16)
    pixels = np.asarray(decode(encoded(Image.fromarray(ramp), format)))
    assert pixels[0, :, 0].tolist() == [0, 1, 128, 255]


def test_float_grey_from_zero_to_one_is_the_full_range() -> None:
    ramp = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    pixels = np.asarray(decode(encoded(Image.fromarray(ramp), "TIFF")))
    assert pixels[0, :, 0].tolist() == [0, 128, 255]


def test_other_deep_data_is_stretched_over_its_own_range() -> None:
    heights = np.array([[-1000, 0, 3000]], dtype=np.int32)
    pixels = np.asarray(decode(encoded(Image.fromarray(heights), "TIFF")))
    assert pixels[0, :, 0].tolist() == [0, 64, 255]


def test_a_palette_becomes_its_colours() -> None:
    image = decode(encoded(Image.new("RGB", (16, 16), RED).quantize(4), "PNG"))
    assert (image.mode, image.getpixel((3, 3))) == ("RGB", RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_laid_on_white(mode: str) -> None:
    image = Image.new(mode, (16, 16), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    assert decode(encoded(image, "PNG")).getpixel((3, 3)) == WHITE


def test_a_transparent_palette_colour_is_laid_on_white() -> None:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30])
    assert decode(encoded(image, "PNG", transparency=0)).getpixel((3, 3)) == WHITE


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(format: str) -> None:
    first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    data = encoded(first, format, save_all=True, append_images=[second])
    assert np.abs(np.asarray(decode(data), int)[8, 8] - RED).max() < 6


def test_one_bit_scans_are_black_and_white() -> None:
    assert decode(encoded(Image.new("1", (16, 16), 1), "TIFF")).getpixel((3, 3)) == WHITE


def test_a_jpeg_can_be_decoded_smaller_but_not_below_what_is_needed() -> None:
    image, *size = picture(encoded(noise(640, 480), "JPEG"), at_least=200)
    assert (image.size, size) == ((320, 240), [640, 480])


def test_the_size_of_a_picture_is_that_of_its_file_held_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(640, 480), "JPEG", exif=exif)
    image, *size = picture(data, at_least=100)
    assert (image.size, size) == ((120, 160), [480, 640])

"""image-to-image: pictures with more pixels, in one piece and in tiles."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from actors.errors import RowRejected
from actors.painting.tiles import tiles
from actors.stage import ModelFiles, Row
from actors.vision.image_to_image import ImageToImage
from actors.worker import Worker
from tests.tiny.making import stable_diffusion, swin2sr
from tests.tiny.seeing import encoded, photo

Build = Callable[..., ModelFiles]


def seen(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file))).astype(int)


def answered(stage: ImageToImage, files: ModelFiles, image: Image.Image) -> Row:
    (answer,) = Worker(stage, files).answer([{"image": encoded(image)}])
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("size", [(70, 45), (64, 48), (1, 9)])
def test_a_picture_is_enlarged_as_transformers_does_and_padding_is_cut_off(
    size: tuple[int, int], tiny: Build
) -> None:
    files, image = tiny(swin2sr), photo(*size)
    model = hf.AutoModelForImageToImage.from_pretrained(files.folder).eval()
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    with torch.inference_mode():
        made = model(**processor(image, return_tensors="pt")).reconstruction[0]
    wanted = (made.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    answer = answered(ImageToImage(), files, image)
    assert (answer["width"], answer["height"]) == (2 * size[0], 2 * size[1])
    # Numbers that differ in the seventh digit may be rounded to neighbouring levels.
    assert np.abs(seen(answer["result"]) - wanted[: 2 * size[1], : 2 * size[0]]).max() <= 1


@pytest.mark.parametrize("size", [(170, 97), (129, 96), (97, 130)])
def test_tiles_show_no_seam_where_the_model_sees_no_farther_than_their_halo(
    size: tuple[int, int], tiny: Build
) -> None:
    image = photo(*size)
    whole = answered(ImageToImage(tile=512), tiny(swin2sr), image)
    tiled = answered(ImageToImage(tile=96), tiny(swin2sr), image)
    assert np.abs(seen(whole["result"]) - seen(tiled["result"])).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (96, 97), (256, 257), (1000, 33)])
def test_tiles_keep_every_pixel_once(size: tuple[int, int]) -> None:
    covered = np.zeros(size[::-1], int)
    for tile in tiles(*size, side=96, halo=32):
        across, down = tile.across, tile.down
        covered[down.first : down.last, across.first : across.last] += 1
        assert max(across.end - across.start, down.end - down.start) <= 96
    assert (covered == 1).all()


def test_a_tile_must_be_more_than_twice_its_halo() -> None:
    with pytest.raises(ValueError, match="must be more than twice 'halo', so above 128"):
        ImageToImage(tile=128, halo=64)


def test_a_model_for_one_channel_is_refused() -> None:
    config = {"architectures": ["Swin2SRForImageSuperResolution"], "num_channels": 1}
    assert "sees 1 channels" in (ImageToImage().check(config) or "")


def test_a_picture_is_painted_after_a_pattern_as_diffusers_does(tiny: Build) -> None:
    files = tiny(stable_diffusion)
    import diffusers

    pipe = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(files.folder)
    pipe.set_progress_bar_config(disable=True)
    image, prompt = photo(96, 64), "a red sofa"
    wanted = pipe(
        prompt,
        image.resize((48, 32)),
        strength=0.7,
        num_inference_steps=4,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    stage = ImageToImage(strength=0.7, steps=4, max_side=48)
    rows = [
        {"image": encoded(photo(40, 60, 3)), "prompt": "a cat " * 12, "seed": None},
        {"image": encoded(image), "prompt": prompt, "seed": 5},
        {"image": encoded(photo(96, 64, 2)), "prompt": prompt, "seed": 5},
    ]
    answers = Worker(stage, files).answer(rows)
    assert not any(isinstance(answer, RowRejected) for answer in answers)
    assert np.abs(seen(answers[1]["result"]) - np.asarray(wanted)).max() <= 1
    assert [answer["width"] for answer in answers] == [32, 48, 48]
    assert [answer["prompt_truncated"] for answer in answers] == [True, False, False]
    assert answers[2]["result"] != answers[1]["result"]


def test_painting_without_a_prompt_is_refused_by_the_plan() -> None:
    config = {"_class_name": "StableDiffusionPipeline"}
    assert "image-to-image needs a prompt" in (ImageToImage().wired({"image"}, config) or "")
    assert ImageToImage(prompt="in oil").wired({"image"}, config) is None


def test_options_of_the_other_kind_of_model_are_refused() -> None:
    enlarges = {"architectures": ["Swin2SRForImageSuperResolution"]}
    assert "strength is an option of pipelines" in (
        ImageToImage(strength=0.5).check(enlarges) or ""
    )
    paints = {"_class_name": "StableDiffusionPipeline"}
    assert "tile is an option of models for super" in (ImageToImage(tile=128).check(paints) or "")


def test_a_strength_that_leaves_no_step_is_refused() -> None:
    paints = {"_class_name": "StableDiffusionPipeline"}
    assert "less than one step" in (ImageToImage(steps=1, strength=0.1).check(paints) or "")
    enough = ImageToImage(steps=10, strength=0.1).check(paints) or ""
    assert "less than one step" not in enough

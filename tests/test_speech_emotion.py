"""speech-emotion-recognition equals the pipeline, and calls emotions by their words."""

from collections.abc import Callable
from typing import Any

import transformers as hf

from actors import sound
from actors.audio.speech_emotion_recognition import SpeechEmotionRecognition
from actors.stage import ModelFiles
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import listen
from tests.tiny.voices import RATE, RECORDINGS

Build = Callable[..., ModelFiles]
WORDS = {"neu": "neutral", "hap": "happiness", "ang": "anger", "sad": "sadness"}


def feel(files: ModelFiles, **options: Any) -> list[Any]:
    return Worker(SpeechEmotionRecognition(**options), files).answer(RECORDINGS)


def config_of(*labels: str) -> dict[str, Any]:
    named = {str(number): label for number, label in enumerate(labels)}
    return {
        "architectures": ["Wav2Vec2ForSequenceClassification"],
        "model_type": "wav2vec2",
        "id2label": named,
    }


def test_scores_equal_the_pipeline_under_words(tiny: Build) -> None:
    files = tiny(listen.emotions)
    pipeline = hf.pipeline("audio-classification", model=str(files.folder), device="cpu")
    samples = [sound.decode(row["audio"], RATE)[0] for row in RECORDINGS]
    found = [pipeline(one) for one in samples]
    expected = [[{"label": WORDS[s["label"]], "score": s["score"]} for s in all_] for all_ in found]
    answers = feel(files)
    assert_close([answer["scores"] for answer in answers], expected, 1e-5)
    assert [a["label"] for a in answers] == [scores[0]["label"] for scores in expected]


def test_labels_stay_or_get_names_of_one_s_own(tiny: Build) -> None:
    plain = feel(tiny(listen.emotions), words=False)
    named = feel(tiny(listen.emotions), names={"neu": "calm"})
    assert {s["label"] for s in plain[0]["scores"]} == set(WORDS)
    assert {s["label"] for s in named[0]["scores"]} == {"calm", "happiness", "anger", "sadness"}


def test_a_model_of_no_emotions_is_refused_unless_its_labels_are_named() -> None:
    stage = SpeechEmotionRecognition()
    refused = stage.check(config_of("dog", "siren"))
    assert refused is not None and "they are dog, siren" in refused
    assert SpeechEmotionRecognition(names={"froh": "happiness"}).check(config_of("froh")) is None
    assert stage.check(config_of("Angry", "calm")) is None

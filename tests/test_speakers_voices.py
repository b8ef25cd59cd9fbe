"""Voices as vectors: verification, identification and embedding equal the plain models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers as hf
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from actors.audio.speaker_embedding import SpeakerEmbedding
from actors.audio.speaker_identification import SpeakerIdentification
from actors.audio.speaker_verification import SpeakerVerification
from actors.errors import RowRejected, StageFailed, UsageError
from actors.speakers import xvector
from actors.speakers.passes import Heard
from actors.speakers.resemblyzer import Mel, Resemblyzer, window_starts
from actors.speakers.spans import Rules
from actors.speakers.voiceprint import mean_of, unit
from actors.stage import Device, ModelFiles, Row
from actors.worker import Worker
from pipelines.file import parse
from pipelines.plan import Plan, make_plan
from tests.close import assert_close
from tests.tiny import speakers
from tests.tiny.voices import buzz, wav

Build = Callable[..., ModelFiles]
SOUNDS = [buzz(1.0, 110, 1), buzz(1.7, 180, 2), buzz(1.0, 240, 3)]
ROWS: list[Row] = [{"audio": wav(one)} for one in SOUNDS]


def plain(kind: Any, files: ModelFiles) -> list[Any]:
    """What the model answers when called recording by recording."""
    model = kind.from_pretrained(files.folder).eval()
    extractor = hf.AutoFeatureExtractor.from_pretrained(files.folder)
    with torch.inference_mode():
        return [
            model(**extractor(one, sampling_rate=16_000, return_tensors="pt")) for one in SOUNDS
        ]


def identify(files: ModelFiles, rows: list[Row] = ROWS, **options: Any) -> list[Any]:
    return Worker(SpeakerIdentification(**options), files).answer(rows)


@pytest.mark.parametrize("layer", [False, True])
def test_x_vectors_equal_the_plain_model(layer: bool, tiny: Build) -> None:
    files = tiny(speakers.xvector, layer=layer)
    kind = hf.WavLMForXVector if layer else hf.Wav2Vec2ForXVector
    expected = [unit(out.embeddings[0].numpy()).tolist() for out in plain(kind, files)]
    found = Worker(SpeakerEmbedding(speech_only=False), files).answer(ROWS)
    assert_close([one["embedding"] for one in found], expected, 1e-5)


def test_similarity_is_the_cosine_of_the_two_voices(tiny: Build) -> None:
    files = tiny(speakers.xvector)
    voices = [unit(out.embeddings[0].numpy()) for out in plain(hf.Wav2Vec2ForXVector, files)]
    pairs = [{**one, "other_audio": other["audio"]} for one in ROWS for other in ROWS]
    cosines = [float(one @ other) for one in voices for other in voices]
    least = sorted(cosines)[4] - 1e-4
    stage = SpeakerVerification(speech_only=False, threshold=least)
    expected = [{"similarity": one, "same_speaker": one >= least} for one in cosines]
    assert_close(Worker(stage, files).answer(pairs), expected, 1e-5)


def test_a_long_recording_is_heard_in_equal_windows(
    tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tiny(speakers.xvector)
    monkeypatch.setattr(xvector, "LONGEST", 1.0)
    halves = [{"audio": wav(half)} for half in np.split(SOUNDS[1], 2)]
    worker = Worker(SpeakerEmbedding(speech_only=False), files)
    whole, *parts = [one["embedding"] for one in worker.answer([ROWS[1], *halves])]
    assert_close(whole, mean_of([np.array(part, np.float32) for part in parts]).tolist(), 1e-5)


def test_less_voice_than_the_model_needs_is_rejected(tiny: Build) -> None:
    files = tiny(speakers.xvector)
    least = xvector.XVector(files.folder, Device()).least
    rows = [{"audio": wav(buzz(3.0)[:size])} for size in (1, least - 1, least)]
    found = Worker(SpeakerEmbedding(speech_only=False), files).answer(rows)
    assert [one.reason for one in found[:2]] == ["audio_too_short"] * 2
    assert np.isfinite(found[2]["embedding"]).all()


def test_only_speech_is_heard_run_together() -> None:
    samples = np.arange(16_000, dtype=np.float32)
    heard = Heard(samples, np.array([0, 1, 1, 0, 0, 0, 1, 1, 1, 1], np.float32), 16_000, 0.1)
    found = heard.speech(Rules(min_speech=0.1, padding=0.0))
    assert_close(found, np.concatenate([samples[1_600:4_800], samples[9_600:]]), 0)


def test_mel_power_equals_the_formula() -> None:
    samples = buzz(0.5)
    bank = mel_filter_bank(201, 40, 0.0, 8_000.0, 16_000, "slaney", "slaney")
    hann = window_function(400, "hann")
    expected = spectrogram(
        samples, hann, 400, 160, power=2.0, mel_filters=bank, pad_mode="constant"
    )
    found = Mel(40, "cpu")(torch.from_numpy(np.pad(samples, 200))[None])[0].numpy()
    assert_close(found, expected.T, 1e-6)


def test_windows_cover_a_recording_and_the_last_holds_enough_of_it() -> None:
    assert window_starts(1) == window_starts(16_000) == [0]
    assert window_starts(40_000) == [0, 77 * 160]
    assert window_starts(48_000) == [0, 77 * 160, 154 * 160]


def test_a_window_in_a_recording_is_heard_as_part_of_it(tiny: Build) -> None:
    model = Resemblyzer(tiny(speakers.voiceprint).folder, Device())
    samples = buzz(4.0)
    (item,) = model.windows(samples, [16_000])
    assert_close(item.data, samples[15_800:41_640], 1e-6)


def test_the_nearest_of_known_speakers_is_named(tiny: Build) -> None:
    files = tiny(speakers.enrolled)
    known = [{"audio": (files.others["enrolment"] / name).read_bytes()} for name in KNOWN]
    found = identify(files, known, enrolment="speakers", top_k=2, threshold=0.9)
    assert [one["speaker"] for one in found] == ["anna", "bert"]
    assert_close([one["score"] for one in found], [1.0, 1.0], 1e-5)
    assert [len(one["scores"]) for one in found] == [2, 2]


KNOWN = ["anna.wav", "bert.wav"]


def test_somebody_else_has_no_name(tiny: Build) -> None:
    (found,) = identify(tiny(speakers.enrolled), ROWS[:1], enrolment="speakers", threshold=1.0)
    assert (found["speaker"], len(found["scores"])) == (None, 3)


def test_a_classifier_names_whom_it_was_trained_on(tiny: Build) -> None:
    files = tiny(speakers.classifier)
    expected = [
        dict(zip(speakers.SPEAKERS, out.logits[0].softmax(-1).tolist(), strict=True))
        for out in plain(hf.Wav2Vec2ForSequenceClassification, files)
    ]
    found = identify(files, speech_only=False)
    scores = [{one["label"]: one["score"] for one in row["scores"]} for row in found]
    assert_close([dict(sorted(row.items())) for row in scores], expected, 1e-5)
    assert [row["speaker"] for row in found] == [max(e, key=lambda n: e[n]) for e in expected]
    assert [row["embedding"] for row in found] == [None] * 3


def test_an_enrolment_that_cannot_be_heard_is_named(tiny: Build, tmp_path: Path) -> None:
    (tmp_path / "anna.wav").write_bytes(b"not a recording")
    files = tiny(speakers.voices)
    with pytest.raises(StageFailed, match=r"recording .*anna\.wav cannot be used: unreadable"):
        identify(ModelFiles(files.folder, {**files.others, "enrolment": tmp_path}), enrolment="x")


def test_an_enrolment_and_a_model_must_belong_together() -> None:
    voices = {"architectures": ["WavLMForXVector"]}
    labels = {"architectures": ["WavLMForSequenceClassification"]}
    named, bare = SpeakerIdentification(enrolment="./x"), SpeakerIdentification()
    assert named.check(voices) is None and bare.check(labels) is None
    assert "name a folder of their recordings" in str(bare.check(voices))
    assert "leave `enrolment` out" in str(named.check(labels))


def plan_in(folder: Path, files: ModelFiles, enrolment: str) -> Plan:
    """A plan whose enrolment folder is named relative to the pipeline file."""
    options = {"enrolment": enrolment, "activity": str(files.others["activity"])}
    stage = {"task": "speaker-identification", "model": str(files.folder), "options": options}
    data = {"name": "x", "source": {"kind": "audio", "path": "x"}, "stages": [stage]}
    data["sink"] = {"kind": "parquet", "path": "out"}
    schema = pa.schema([("audio", pa.binary())])
    return make_plan(parse(data, "x.yaml"), "x.yaml", folder, folder, schema)


def test_an_enrolment_is_pinned_by_its_content(tiny: Build, tmp_path: Path) -> None:
    files = tiny(speakers.voices)
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "anna.wav").write_bytes(ROWS[0]["audio"])
    first = plan_in(tmp_path, files, "./known")
    assert first.steps[0].others["enrolment"].folder == tmp_path / "known"
    assert plan_in(tmp_path, files, "./known").fingerprint == first.fingerprint
    (tmp_path / "known" / "bert.wav").write_bytes(ROWS[1]["audio"])
    assert plan_in(tmp_path, files, "./known").fingerprint != first.fingerprint


def test_an_enrolment_that_is_missing_or_empty_is_refused(tiny: Build, tmp_path: Path) -> None:
    files = tiny(speakers.voices)
    (tmp_path / "known").mkdir()
    with pytest.raises(UsageError, match=r"option 'enrolment': folder './knwn'.*did you mean 'kn"):
        plan_in(tmp_path, files, "./knwn")
    with pytest.raises(UsageError, match=r"folder './known': .* holds no file"):
        plan_in(tmp_path, files, "./known")


def test_a_recording_in_which_nobody_speaks_is_rejected(tiny: Build) -> None:
    rows = [{"audio": speakers.SILENCE}, *ROWS[:1]]
    rejected, answered = Worker(SpeakerEmbedding(), tiny(speakers.voices)).answer(rows)
    assert isinstance(rejected, RowRejected) and rejected.reason == "no_speech"
    assert isinstance(answered, dict)

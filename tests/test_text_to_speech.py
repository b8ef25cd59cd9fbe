"""text-to-speech: what is said is what the plain model says, in any batch, of any text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors import sound
from actors.audio.text_to_speech import TextToSpeech
from actors.errors import RowRejected, UsageError
from actors.models.embedded import prepare
from actors.noise import drawn_from, seed_of
from actors.stage import Device, ModelFiles
from actors.voices.espeak import clauses, espeak
from actors.voices.utterances import LONGEST, joined, utterances
from actors.worker import Worker
from pipelines.file import parse
from pipelines.plan import make_plan
from tests.tiny import speaking

Build = Callable[..., ModelFiles]
SPEAKER = (1.0, -2.0, 0.5, 0.0)
TEXT = "a dog and a red sofa"


def said(files: ModelFiles, text: str = TEXT, **options: Any) -> np.ndarray:
    (answer,) = Worker(TextToSpeech(**options), files).answer([{"text": text}])
    samples, header = sound.decode(answer["audio"])
    assert (answer["sampling_rate"], answer["seconds"]) == (header.rate, header.seconds)
    return samples


def reason(files: ModelFiles, text: str, **options: Any) -> str:
    (answer,) = Worker(TextToSpeech(**options), files).answer([{"text": text}])
    assert isinstance(answer, RowRejected)
    return answer.reason


@pytest.mark.parametrize("speakers", [1, 3])
def test_vits_says_what_transformers_says(speakers: int, tiny: Build) -> None:
    files = tiny(speaking.vits, speakers=speakers)
    model = hf.VitsModel.from_pretrained(files.folder).eval()
    inputs = hf.AutoTokenizer.from_pretrained(files.folder)(TEXT, return_tensors="pt")
    with torch.inference_mode(), drawn_from(seed_of(5, TEXT), Device()):
        plain = model(**inputs, speaker_id=speakers - 1).waveform[0].numpy()
    found = said(files, seed=5, speaker=speakers - 1)
    assert np.abs(found - plain).max() < 1e-5 + 1 / 32768


def test_vits_without_chance_says_what_the_pipeline_says(tiny: Build, tmp_path: Path) -> None:
    model = hf.VitsModel.from_pretrained(tiny(speaking.vits).folder)
    model.config.noise_scale = model.config.noise_scale_duration = 0.0
    model.save_pretrained(tmp_path)
    hf.AutoTokenizer.from_pretrained(tiny(speaking.vits).folder).save_pretrained(tmp_path)
    plain = hf.pipeline("text-to-speech", str(tmp_path))(TEXT)
    found = said(ModelFiles(tmp_path))
    assert np.abs(found - plain["audio"].reshape(-1)).max() < 1e-5 + 1 / 32768


def test_speecht5_says_what_transformers_says(tiny: Build) -> None:
    files = tiny(speaking.speecht5)
    model = hf.SpeechT5ForTextToSpeech.from_pretrained(files.folder).eval()
    vocoder = hf.SpeechT5HifiGan.from_pretrained(files.others["vocoder"]).eval()
    inputs = hf.AutoTokenizer.from_pretrained(files.folder)(TEXT, return_tensors="pt")
    with drawn_from(3, Device()):
        plain = model.generate_speech(
            inputs.input_ids, torch.tensor([SPEAKER]), vocoder=vocoder
        ).detach()
    found = said(files, seed=3, speaker_embedding=SPEAKER)
    assert np.abs(found - plain.numpy()).max() < 1e-5 + 1 / 32768


def test_bark_says_what_transformers_says(tiny: Build) -> None:
    files = tiny(speaking.bark)
    model = hf.BarkModel.from_pretrained(files.folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    shape = {"padding": "max_length", "max_length": 40, "return_tensors": "pt"}
    inputs = tokenizer(TEXT, add_special_tokens=False, return_token_type_ids=False, **shape)
    with drawn_from(seed_of(2, TEXT), Device()):
        plain = model.generate(**inputs)[0].numpy()
    assert np.abs(said(files, seed=2) - np.clip(plain, -1, 1)).max() < 1e-5 + 1 / 32768


@pytest.mark.parametrize("build", [speaking.vits, speaking.bark])
def test_a_batch_sounds_as_each_row_alone(build: Any, tiny: Build) -> None:
    worker = Worker(TextToSpeech(), tiny(build))
    alone = [worker.answer([row])[0] for row in speaking.TEXTS]
    assert worker.answer(speaking.TEXTS) == alone
    assert worker.answer(speaking.TEXTS[::-1]) == alone[::-1]


def test_another_seed_another_speaker_and_another_pace_sound_otherwise(tiny: Build) -> None:
    files, spoken = tiny(speaking.vits), said(tiny(speaking.vits))
    assert not np.array_equal(said(files, seed=1), spoken)
    assert len(said(files, speed=0.5)) > len(spoken) > len(said(files, speed=2))
    one = said(tiny(speaking.speecht5), speaker_embedding=SPEAKER)
    assert not np.array_equal(one, said(tiny(speaking.speecht5)))


def test_sentences_are_said_one_after_the_other_with_pauses(tiny: Build) -> None:
    files = tiny(speaking.vits)
    parts = [said(files, part) for part in ("the film was good.", "I watch it again!")]
    whole = said(files, "the film was good.\nI watch it again!", pause=0.1)
    assert np.array_equal(whole, joined(parts, 16_000, 0.1))


def test_flac_holds_the_same_samples_but_for_rounding(tiny: Build) -> None:
    files = tiny(speaking.vits)
    assert np.abs(said(files, format="flac") - said(files)).max() <= 1 / 32768


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x" * 1_000_000, "too_long"),
        (" \u00a0\u3000", "empty_text"),
        ("\U0001f600 \u0645\u0631\u062d\u0628\u0627", "nothing_to_say"),
        ("\0\0", "nothing_to_say"),
        ("half \ud800", "invalid_text"),
    ],
)
def test_what_cannot_be_said_is_rejected(text: str, code: str, tiny: Build) -> None:
    assert reason(tiny(speaking.vits), text) == code


def test_a_long_sentence_is_cut_between_words_and_nothing_is_lost() -> None:
    text = "Heading\n\n" + "one two, three " * 100 + "end.\n\n" + "x" * 700
    parts = utterances(text)
    assert max(len(part) for part in parts) <= LONGEST
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part.endswith(",") for part in parts[1:5])


def test_options_that_the_model_does_not_have_are_refused_at_plan(
    tiny: Build, tmp_path: Path
) -> None:
    several, one = tiny(speaking.vits, speakers=3), tiny(speaking.speecht5)
    assert "has 3 voices" in refusal(several, tmp_path, speaker=3)
    assert "options of VITS models" in refusal(one, tmp_path, speed=2)
    assert "5 numbers, the model takes 4" in refusal(one, tmp_path, speaker_embedding=[1.0] * 5)
    assert "nowhere.npy: No such file" in refusal(one, tmp_path, speaker_embedding="nowhere.npy")
    np.save(tmp_path / "empty.npy", np.zeros(0))
    assert "no vector" in refusal(one, tmp_path, speaker_embedding="empty.npy")


def refusal(files: ModelFiles, base: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        planned(files, base, **options)
    return str(caught.value)


def planned(files: ModelFiles, base: Path, **options: Any) -> Any:
    """The stage as `plan` makes it of a pipeline file in `base`."""
    import pyarrow as pa

    others = {name: str(folder) for name, folder in files.others.items()}
    pipeline = {
        "name": "speak",
        "source": {"kind": "jsonl", "path": "rows.jsonl"},
        "stages": [
            {
                "task": "text-to-speech",
                "model": str(files.folder),
                "options": {**others, **options},
            }
        ],
        "sink": {"kind": "parquet", "path": "out"},
    }
    schema = pa.schema([("text", pa.string())])
    return make_plan(parse(pipeline, "speak.yaml"), "speak.yaml", base, base, schema).steps[0]


def test_a_speaker_s_file_is_read_beside_the_pipeline_file(tiny: Build, tmp_path: Path) -> None:
    np.save(tmp_path / "voice.npy", np.array([SPEAKER], np.float32))
    files = tiny(speaking.speecht5)
    named = planned(files, tmp_path, speaker_embedding="voice.npy")
    assert named.stage.speaker_embedding == SPEAKER
    assert named.fingerprint == planned(files, tmp_path, speaker_embedding=SPEAKER).fingerprint
    assert named.fingerprint != planned(files, tmp_path).fingerprint


def test_clauses_keep_their_marks_and_abbreviations_end_none() -> None:
    assert clauses("Dr. Smith paid $3.50; why? Well…") == [
        ("Dr. Smith paid $3.50;", ";"),
        (" why?", "?"),
        (" Well…", "."),
    ]


def test_espeak_gives_phonemes_with_marks() -> None:
    assert espeak().phonemes("Hello, world! 7\0", "en-us") == "həlˈoʊ, wˈɜːld! sˈɛvən"


@pytest.mark.embedded
def test_the_embedded_voice_speaks(cache: Path) -> None:
    files = ModelFiles(prepare("piper-joe-medium", cache))
    spoken = said(files, "Hello, world.")
    assert 0.6 < len(spoken) / 22_050 < 1.6
    assert 0.02 < np.sqrt(np.mean(spoken**2)) < 0.3
    assert reason(files, "...") == "nothing_to_say"

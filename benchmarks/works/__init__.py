"""Works: one module each, the same work done three ways in one process.

COUNT       rows of a run.
STAGE       the task and its options.
make        save a random model of a real size.
rows        the corpus.
bare        the model's own loop, well batched: answers in order.
pipeline    transformers.pipeline, or None where there is no such pipeline: answers in order.
daft        optional: Daft, in an environment of its own (benchmarks/run.py --daft makes it).
MODEL       optional: the class whose forward is the model's work; the rest is preparation.
ALIKE       share of rows that must be answered alike by all: sums in another order tip a close
            decision.
LIKE_PIPELINE  whether pipeline answers the same.
answer_of   what of the task's answer the other two give.
"""

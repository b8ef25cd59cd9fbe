"""Reading text: encoders of one or two texts, labels of tokens and spans, sentences."""

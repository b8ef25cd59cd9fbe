"""Tasks on pictures together with text or sound."""

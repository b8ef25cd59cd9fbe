"""Writing text: prompts, chat, generation alone and in a stream, translation."""

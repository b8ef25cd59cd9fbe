"""Telling of pictures in words: captions, answers to questions, chats with pictures and sound."""

"""How text is read from a page: find lines, cut them out, read them, put them in order."""

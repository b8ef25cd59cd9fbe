"""Each way to do the work: a program `KIND CORPUS MODEL OUT` that writes Parquet."""

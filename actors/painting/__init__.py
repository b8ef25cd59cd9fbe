"""Pictures that are made or changed: what larger tasks are made of."""

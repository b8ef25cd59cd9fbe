"""Models of tables: features, training, metrics, and the folder that a trained model is."""

"""What was made here, for other tools: runs for experiment trackers, tables, datasets for other libraries.

tracking.py   a run with its settings, curves and metrics to MLflow or TensorBoard
tables.py     vectors and rankings as Parquet
formats.py    a dataset as RecBole, RecTools and LensKit read it
"""

"""Where data lives beyond files on this disk: databases, addresses, frames.

Each is turned into local files with their provenance (:func:`llmesr.data.places.bring.brought`); from there on they are
files like any other, with every check of the import.

    bring.py        what was given, each to its place
    stream.py       Arrow batches -> one Parquet file, in bounded memory
    database.py     queries: PostgreSQL and SQLite through ADBC, DuckDB
    tables.py       folders that are Delta or Iceberg tables, by their own libraries
    address.py      http(s), object stores and everything else that fsspec opens
    connections.py  the places a server's configuration names, and what visitors of the app may reach
"""

"""``python -m llmesr``."""

from llmesr.cli.main import main

if __name__ == "__main__":
    main()

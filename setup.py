"""What pyproject.toml cannot say: the app at the top of the repository travels in the wheel, as ``llmesr/_app``."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

REQUIREMENTS = Path("requirements.txt").read_text(encoding="utf-8").split()
ONLY_FOR_TESTS = ("pytest",)


class BuildWithApp(build_py):  # type: ignore[misc]
    """Puts a copy of the app into the package; an editable install runs it where it is."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for file in ("app.py", ".streamlit/config.toml", *map(str, Path("pages").glob("*.py"))):
                target = Path(self.build_lib, "llmesr", "_app", file)
                self.mkpath(str(target.parent))
                self.copy_file(file, str(target))


setup(
    install_requires=[line for line in REQUIREMENTS if not line.startswith(ONLY_FOR_TESTS)],
    cmdclass={"build_py": BuildWithApp},
)

"""What all configs have in common, and how values are read from YAML and ``--set``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from llmesr.errors import UserError

LARGEST = 2**63
"""What libraries count with is smaller."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every random generator takes."""


def _without_password(endpoint: str | None) -> str | None:
    if endpoint and urlsplit(endpoint).password:
        raise ValueError("put the key into OPENAI_API_KEY, where it is not stored, not into the URL")
    return endpoint


Endpoint = Annotated[str | None, AfterValidator(_without_password)]
"""Where a model answers. What is set is stored beside what was made, for everybody who reads that."""


class Config(BaseModel):
    """Base of all configs: frozen, no unknown keys, errors as sentences."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _countable(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) >= LARGEST:
            raise ValueError("no number that large can be counted with")
        return value

    @classmethod
    def read(cls, file: Path | None = None, **values: Any) -> Self:
        """Build from a YAML file overlaid with ``values``. UserError names the offending key."""
        merged: dict[str, Any] = {}
        if file is not None:
            loaded = read_yaml(file, "the configuration") or {}
            if not isinstance(loaded, Mapping):
                raise UserError(f"The configuration {file} must be a mapping of keys to values.")
            merged.update(loaded)
        merged.update(values)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise UserError(_explain(cls, error)) from error

    def but(self, **changes: Any) -> Self:
        """A validated copy with ``changes``."""
        return type(self).read(None, **{**self.model_dump(), **changes})


def _explain(cls: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(p) for p in first["loc"]) or "configuration"
    if first["type"] == "extra_forbidden":
        return f"Unknown setting {key!r}. Known: {', '.join(cls.model_fields)}."
    if not first["loc"]:  # about several settings: which ones, the message says
        return f"These settings do not go together: {first['msg'].removeprefix('Value error, ')}."
    given = repr(first["input"])
    given = given if len(given) <= 200 else f"{given[:200]}..."
    return f"Setting {key!r} = {given} is not valid: {first['msg']}."


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """``["epochs=30", "dropout=0.2"]`` -> values parsed as YAML. UserError on a pair without '='."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise UserError(f"--set takes key=value, not {pair!r}.")
        values[key.strip()] = _value(text)
    return values


class _Plain(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """YAML without aliases, a few lines of which can stand for gigabytes. No setting needs them."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read")
        return super().compose_node(parent, index)


def read_yaml(file: Path, what: str) -> Any:
    """The value in a YAML file. UserError that names ``what`` the file is, when it cannot be read."""
    try:
        return yaml.load(Path(file).read_text(encoding="utf-8"), _Plain)
    except RecursionError as error:
        raise UserError(f"Cannot read {what} {file}: it is nested too deeply.") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"Cannot read {what} {file}: {' '.join(str(error).split())}.") from error


def _value(text: str) -> Any:
    bare = text.strip()
    if bare and bare not in ("~", "[]", "{}") and not any(c.isalnum() for c in bare):
        return bare  # punctuation, such as a delimiter, means itself
    try:
        value = yaml.load(text, _Plain)
    except (yaml.YAMLError, ValueError, RecursionError):
        return bare  # such as %d.%m.%Y
    # YAML calls a bare off/no False; our switches are words.
    return bare if isinstance(value, bool) and bare in ("off", "on", "no", "yes") else value

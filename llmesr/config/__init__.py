"""Every knob of the project, as frozen models in which an unknown key is an error.

The field names are the only names: the command line's ``--set key=value``, the YAML files, the
app's forms and the manifests all use them. ``description`` is the help text the app shows.

    base.py      what all configs have in common; ``--set`` and YAML
    methods.py   the methods and backbones, and which settings each of them reads (a new method starts here)
    groups.py    groups of users and items, protocols, metrics
    data.py      from files to a dataset
    text.py      from item text to vectors; fine-tuning a language model; similar users
    run.py       one training run
    needs.py     what follows from the settings of a run: text, similar users, another run
    presets.py   named starting points of a run
    search.py    a search for the settings of a run
    allocation.py  weak users handed to a second ranker
    best.py      finding the best recommender within a time
    lab.py       new products, edited texts, texts to repair
    serve.py     the API server
    study.py     what prompts, encoders and similarities are worth
"""

from llmesr.config.allocation import AllocationConfig
from llmesr.config.base import Config, parse_overrides, read_yaml
from llmesr.config.best import BestConfig
from llmesr.config.data import IngestConfig, SplitConfig
from llmesr.config.groups import COLD, EVERY_GROUP, GROUPS, RANK_METRIC, GroupName, Protocol, SearchObjective
from llmesr.config.lab import LabConfig
from llmesr.config.methods import (
    BLEND,
    BLEND_EMPHASIS,
    EXTERNAL,
    LINEAR,
    MADE_FOR_IT,
    NEEDS_TEXT,
    UNTRAINED,
    WORDS,
    BackboneName,
    MethodName,
    has_backbone,
    method_named,
    named_with_backbone,
    reads,
)
from llmesr.config.presets import PRESETS, preset
from llmesr.config.run import DEFAULT_NEGATIVES, RunConfig, check_given, idle_settings, settings_read, unread_settings
from llmesr.config.search import SearchConfig
from llmesr.config.serve import ServeConfig
from llmesr.config.study import StudyConfig
from llmesr.config.text import EmbedConfig, FinetuneConfig, NeighbourConfig

__all__ = [
    "BLEND",
    "BLEND_EMPHASIS",
    "COLD",
    "DEFAULT_NEGATIVES",
    "EVERY_GROUP",
    "EXTERNAL",
    "GROUPS",
    "LINEAR",
    "MADE_FOR_IT",
    "NEEDS_TEXT",
    "PRESETS",
    "RANK_METRIC",
    "UNTRAINED",
    "WORDS",
    "AllocationConfig",
    "BackboneName",
    "BestConfig",
    "Config",
    "EmbedConfig",
    "FinetuneConfig",
    "GroupName",
    "IngestConfig",
    "LabConfig",
    "MethodName",
    "NeighbourConfig",
    "Protocol",
    "RunConfig",
    "SearchConfig",
    "SearchObjective",
    "ServeConfig",
    "SplitConfig",
    "StudyConfig",
    "check_given",
    "has_backbone",
    "idle_settings",
    "method_named",
    "named_with_backbone",
    "parse_overrides",
    "preset",
    "read_yaml",
    "reads",
    "settings_read",
    "unread_settings",
]

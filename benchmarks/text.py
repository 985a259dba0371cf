"""Texts per second of the bundled MiniLM on a processor, beside sentence-transformers and in other number formats.

    OMP_NUM_THREADS=1 python benchmarks/text.py                          # generated catalogue
    OMP_NUM_THREADS=1 python benchmarks/text.py PATH --texts 3000        # item prompts of a dataset
    python benchmarks/text.py --skip onnx                                # without an environment of its own

Each side runs in a process of its own on the same item prompts, in catalogue order, after a warm-up; loading is not
counted. Texts per second of processor time hold on a busy machine too. The cosine is to sentence-transformers'
vectors of the same texts. ONNX Runtime (its float32 graph and its dynamic int8) is installed in an environment of its
own (`--environment`, kept). sentence-transformers comes with the bundled model and is used by this file only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from environments import environment

from llmesr.config import EmbedConfig, IngestConfig
from llmesr.data.ingest import ingest
from llmesr.data.synthetic import frames
from llmesr.semantic.embedders import open_embedder
from llmesr.semantic.embedders.backbone import locate
from llmesr.semantic.embedders.transformer import TransformerEmbedder
from llmesr.store import Store
from llmesr.text.prompts import item_prompts

Encode = Callable[[list[str]], np.ndarray]
BASE = "sentence-transformers, batches of 32"
ONNX = ("onnx==1.23.2", "onnxscript", "onnxruntime==1.31.1")


def sentence_transformers() -> Encode:
    """As its documentation says: texts sorted by length, batches of 32."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(locate("minilm").folder), device="cpu")
    return lambda texts: model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def plain_loop() -> Encode:
    """Batches of 32 in the order of the catalogue, each padded to its longest text."""
    embedder = _embedder("float32")

    def encode(texts: list[str]) -> np.ndarray:
        parts = (texts[start : start + 32] for start in range(0, len(texts), 32))
        return np.concatenate([embedder.forward(embedder.tokens(part)).numpy() for part in parts])

    return encode


def llmesr(precision: str) -> Encode:
    """The project's embedder."""
    return _embedder(precision).embed


def dynamic_int8() -> Encode:
    """The project's embedder with the linear layers in torch's dynamic int8."""
    embedder = _embedder("float32")
    quantized = torch.ao.quantization.quantize_dynamic(embedder._model, {torch.nn.Linear}, dtype=torch.qint8)
    embedder.__dict__["_model"] = quantized
    return embedder.embed


def onnx(int8: bool) -> Encode:
    """The project's batches through ONNX Runtime; only in the environment that has it."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    embedder = _embedder("float32")
    folder = Path(tempfile.mkdtemp(dir=os.environ["LLMESR_ARTIFACTS"]))
    graph, smaller = folder / "graph.onnx", folder / "int8.onnx"
    inputs, names = embedder.batch([[101, 2023, 102]] * 2), ("input_ids", "attention_mask")
    torch.onnx.export(
        _States(embedder._model),
        inputs,
        str(graph),
        input_names=list(names),
        output_names=["states"],
        dynamic_axes={key: {0: "batch", 1: "length"} for key in (*names, "states")},
        dynamo=False,
    )
    if int8:
        quantize_dynamic(graph, smaller, weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(smaller if int8 else graph), options, ["CPUExecutionProvider"])
    embedder.__dict__["_model"] = _Session(session)
    return embedder.embed


class _States(torch.nn.Module):
    """Two tensors in, one out, as an exported graph has them."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states


class _Session:
    """ONNX Runtime in the place of a transformers model."""

    def __init__(self, session: object) -> None:
        self.session = session

    def __call__(self, **inputs: torch.Tensor) -> _Session:
        given = {name: tensor.numpy() for name, tensor in inputs.items()}
        self.last_hidden_state = torch.from_numpy(self.session.run(None, given)[0])  # type: ignore[attr-defined]
        return self


def _embedder(precision: str) -> TransformerEmbedder:
    embedder = open_embedder(EmbedConfig.read(None, precision=precision), Store())
    assert isinstance(embedder, TransformerEmbedder)
    embedder.device = torch.device("cpu")
    return embedder


SIDES: dict[str, Callable[[], Encode]] = {
    BASE: sentence_transformers,
    "transformers, catalogue order, batches of 32": plain_loop,
    "llmesr, float32 (the default)": lambda: llmesr("float32"),
    "llmesr, bfloat16": lambda: llmesr("bfloat16"),
    "llmesr, torch dynamic int8": dynamic_int8,
    "llmesr's batches, onnx runtime float32": lambda: onnx(int8=False),
    "llmesr's batches, onnx runtime int8": lambda: onnx(int8=True),
}


def side(name: str, folder: Path) -> dict[str, float]:
    """Seconds of one side in this process; its vectors are left in ``folder``."""
    warnings.filterwarnings("ignore")
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    encode = SIDES[name]()
    encode(texts[:100])
    started, processor = time.perf_counter(), time.process_time()
    vectors = encode(texts)
    spent = {"seconds": time.perf_counter() - started, "processor": time.process_time() - processor}
    np.save(folder / f"{list(SIDES).index(name)}.npy", vectors)
    return spent


def prompts(path: Path | None, count: int) -> list[str]:
    """Item prompts of the dataset at ``path``, else of a generated catalogue; ``count`` at most, evenly picked."""
    if path is None:
        catalogue = frames(100, count)[1]
    else:
        with tempfile.TemporaryDirectory() as root:
            catalogue = ingest([path], IngestConfig(name="text", k_core=2), Store(root)).catalogue
    texts = [text for text in item_prompts(catalogue) if text]
    return [texts[i] for i in np.unique(np.linspace(0, len(texts) - 1, count).astype(int))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--texts", type=int, default=4_000)
    parser.add_argument("--skip", action="append", default=[], help="leave out the sides whose name has this in it")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "llmesr-onnx")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(side(given.side, given.folder)))
        return
    texts = prompts(given.path, given.texts)
    lengths = [len(row) for row in _embedder("float32").tokens(texts)]
    print(f"{len(texts):,} item prompts of {np.mean(lengths):.0f} tokens on average ({max(lengths)} at most), ", end="")
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}\n")
    print("| side | seconds | texts/s | texts per processor second | mean cosine | least cosine |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        here = {**os.environ, "LLMESR_ARTIFACTS": scratch}
        for number, name in enumerate(SIDES):
            if any(word in name for word in given.skip):
                continue
            python = environment(given.environment, *ONNX, with_ours=True) if "onnx" in name else sys.executable
            command = [str(python), __file__, f"--side={name}", f"--folder={folder}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=here)
            spent = json.loads(done.stdout.splitlines()[-1])
            cosine = (np.load(folder / "0.npy") * np.load(folder / f"{number}.npy")).sum(1)
            rates = (f"{len(texts) / spent[key]:.0f}" for key in ("seconds", "processor"))
            print(f"| {name} | {spent['seconds']:.1f} | {' | '.join(rates)} | ", end="")
            print(f"{cosine.mean():.4f} | {cosine.min():.4f} |", flush=True)


if __name__ == "__main__":
    main()

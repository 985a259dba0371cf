"""Methods: what each is made of.

table.py     every method as tables x encoder x objectives (a new method starts here)
parts.py     what they share: item tables, the model around them
inputs.py    what they are built from, and what comes out
"""

from llmesr.methods.inputs import Inputs, Method
from llmesr.methods.table import METHODS, build

__all__ = ["METHODS", "Inputs", "Method", "build"]

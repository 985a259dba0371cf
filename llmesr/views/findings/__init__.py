"""Findings: what was pinned, put in order, presented and taken along."""

"""Upload, map columns, validate, see the long tail, say where it begins."""

from llmesr.views import loaders, panels, panels_upload
from llmesr.views import panels_data as parts

LOOKS = {"profile": "Look at a dataset", "add": "Add a dataset"}

panels.page(
    "Datasets",
    "Bring in who chose what and what the items are, see what was read and what was lost, and how long the tail is.",
)
root = loaders.store()
panels_upload.arrived(root)
there = bool(loaders.manifests(root, "datasets"))
looks = list(LOOKS) if there else ["add"]
look = panels.choose("Show", looks, "look", kind="segmented", show=LOOKS.get, label_visibility="collapsed")

if panels_upload.importing(root):
    pass
elif look == "add":
    with panels.boundary("The upload"):
        panels_upload.add(root)
else:
    manifest = panels.pick_dataset(root)
    panels.image_format()
    data = loaders.dataset(root, manifest.id)
    parts.next_step(root, manifest)
    parts.report(manifest)
    thresholds = parts.thresholds_control(root, data)
    profile = loaders.profile(root, manifest.id, thresholds)
    parts.tail_numbers(profile)
    parts.charts(profile, data, thresholds)
    parts.delete(root, manifest)
panels.damaged(root, "datasets")

"""Configure, launch, watch, stop and resume training."""

from llmesr.views import loaders, panels, panels_finetune, panels_jobs
from llmesr.views import panels_train as parts

PARTS = {"new": "New run", "tune": "Fine-tune the text model", "watch": "Runs and curves", "queue": "Queue"}

panels.page(
    "Training",
    "Choose what represents items and what is learned, launch, and watch how the tail fares while it learns. "
    "Work goes on when you leave the page or close the browser.",
)
root = loaders.store()
manifest = panels.pick_dataset(root)
if manifest is not None:
    protocol = panels.pick_protocol()
    panels.image_format()
    data = loaders.dataset(root, manifest.id)
    part = panels.choose("Show", list(PARTS), "part", kind="segmented", show=PARTS.get, label_visibility="collapsed")

    if part == "new":
        config, steps = parts.form(root, manifest)
        parts.show_estimate(root, data, config, parts.trainings(steps))
        parts.launch(root, manifest, steps, config.views or ())
    elif part == "tune":
        with panels.boundary("The form"):
            panels_finetune.form(root, manifest, data)
        panels_finetune.history(root, manifest)
    elif part == "watch":
        run_id = parts.pick_run(root, manifest)
        if run_id is None:
            panels.empty("No run of this dataset yet: launch one under New run.")
        else:
            parts.watch(root, run_id, protocol)
            panels.caption(protocol, data.thresholds, "valid")
            panels.explain(["NDCG@10"])
            parts.clone_button(root, run_id)
    else:
        panels_jobs.job_list(root)
    panels.damaged(root, "runs")

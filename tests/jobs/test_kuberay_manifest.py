"""The manifest for Kubernetes fits the image and the engine, and what its resources may hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
CLAIM, CLUSTER = yaml.safe_load_all((REPOSITORY / "docs" / "kuberay.yaml").read_text())
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
HEAD = CLUSTER["spec"]["headGroupSpec"]
GROUPS = CLUSTER["spec"]["workerGroupSpecs"]
PODS = [HEAD["template"], *(group["template"] for group in GROUPS)]
OF_CLUSTER = {"headGroupSpec", "workerGroupSpecs"}
OF_HEAD = {"rayStartParams", "template"}
OF_GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
"""Fields of ray.io/v1 that are used; those of a head and of a group that it cannot do without are all among them."""


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_the_cluster_is_of_the_known_fields() -> None:
    assert (CLUSTER["apiVersion"], CLUSTER["kind"]) == ("ray.io/v1", "RayCluster")
    assert set(CLUSTER) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(CLUSTER["spec"]) == OF_CLUSTER
    assert set(HEAD) == OF_HEAD
    for group in GROUPS:
        assert set(group) == OF_GROUP
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for params in (HEAD["rayStartParams"], *(group["rayStartParams"] for group in GROUPS)):
        assert all(isinstance(value, str) for value in params.values())


@pytest.mark.parametrize("pod", PODS)
def test_pods_run_the_image_without_rights_on_one_folder(pod: dict[str, Any]) -> None:
    (user,) = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    (folder,) = re.findall(r"LLMESR_ARTIFACTS=(\S+)", DOCKERFILE)
    rights = pod["spec"]["securityContext"]
    assert (rights["runAsNonRoot"], rights["runAsUser"], rights["fsGroup"]) == (True, int(user), int(user))
    own = container(pod)
    assert own["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    (mount,), (volume,) = own["volumeMounts"], pod["spec"]["volumes"]
    assert mount == {"name": volume["name"], "mountPath": folder}
    assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    assert own["resources"]["requests"] == own["resources"]["limits"]
    assert {"readinessProbe", "livenessProbe"} <= set(own)  # KubeRay's may call wget


def test_all_machines_may_write_the_volume_and_the_head_is_asked() -> None:
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    (engine,) = container(HEAD["template"])["env"]
    dashboard = next(port for port in container(HEAD["template"])["ports"] if port["name"] == "dashboard")
    assert engine == {"name": "LLMESR_ENGINE", "value": f"ray:http://127.0.0.1:{dashboard['containerPort']}"}
    assert HEAD["rayStartParams"]["num-cpus"] == "0"


def test_the_image_can_have_ray_in_it() -> None:
    assert "ARG EXTRAS" in DOCKERFILE
    assert "ray = [" in (REPOSITORY / "pyproject.toml").read_text()


def test_pods_and_claim_are_what_kubernetes_publishes() -> None:
    """By the OpenAPI of Kubernetes itself, strictly: no field that it does not know."""
    schemas = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    version = schemas.latest_version()
    schemas.validate(CLAIM, version, strict=True)
    for number, pod in enumerate(PODS):
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, **pod}
        schemas.validate(whole, version, strict=True)
    with pytest.raises(schemas.ValidationError):
        schemas.validate({**CLAIM, "spec": {**CLAIM["spec"], "accessMode": []}}, version, strict=True)

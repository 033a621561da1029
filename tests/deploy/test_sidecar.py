"""The Kubernetes sidecar keeps what deploy/README.md says of it."""

from pathlib import Path
from typing import Any

import yaml

from proxy.settings import Settings
from tests.deploy.parsing import served_with

FILE = Path(__file__).parent.parent.parent / "deploy/kubernetes/sidecar.yaml"
POD: dict[str, Any] = yaml.safe_load(FILE.read_text())["spec"]["template"]["spec"]
(SIDECAR,) = POD["initContainers"]
(APP,) = POD["containers"]
PROBE = ["/opt/spiritsafe/bin/python", "-I", "/opt/spiritsafe/probe.py"]


def test_it_is_a_native_sidecar() -> None:
    assert "Always" == SIDECAR["restartPolicy"]


def test_the_application_talks_to_it_over_loopback() -> None:
    assert "--listen=127.0.0.1:8787" in SIDECAR["args"]
    env = {variable["name"]: variable["value"] for variable in APP["env"]}
    assert {"OPENAI_BASE_URL": "http://127.0.0.1:8787/v1"} == env


def test_the_program_takes_its_arguments() -> None:
    assert {
        "listen": "127.0.0.1:8787",
        "db": Path("/data/spiritsafe.db"),
        "tag": ["pod=$(POD_NAME)", "namespace=$(POD_NAMESPACE)"],
    } == served_with(SIDECAR["args"])


def test_probes_are_commands_since_the_kubelet_cannot_reach_loopback() -> None:
    asked = {
        name: SIDECAR[name]["exec"]["command"] for name in SIDECAR if "Probe" in name
    }
    assert {
        "startupProbe": [*PROBE, "/readyz"],
        "readinessProbe": [*PROBE, "/healthz"],  # P4: storage takes no pod out
        "livenessProbe": [*PROBE, "/healthz"],
    } == asked


def test_f92_it_has_time_to_drain_and_does_not_sleep_it_away() -> None:
    drain_s = Settings.model_fields["drain_s"].default
    assert POD["terminationGracePeriodSeconds"] > drain_s + 10
    assert not [c for c in (SIDECAR, APP) if "lifecycle" in c]


def test_s61_it_may_do_nothing_but_write_to_its_volume() -> None:
    assert {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    } == SIDECAR["securityContext"]
    assert POD["automountServiceAccountToken"] is False


def test_the_file_lives_on_the_one_volume() -> None:
    (mount,) = SIDECAR["volumeMounts"]
    assert "--db=/data/spiritsafe.db" in SIDECAR["args"]
    assert "/data" == mount["mountPath"]
    assert [mount["name"]] == [v["name"] for v in POD["volumes"] if "emptyDir" in v]


def test_its_appetite_is_bounded() -> None:
    assert "512Mi" == SIDECAR["resources"]["limits"]["memory"]
    assert {"cpu", "memory"} <= set(SIDECAR["resources"]["requests"])

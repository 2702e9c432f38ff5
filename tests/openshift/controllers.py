"""What a cluster's controllers, scheduler and nodes would report, for the double of its API.

Each change of an object is followed by a look at all deployments, jobs and exposures. Pods are
ready at once, unless a test has set a fault for their deployment or job.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from quaylab.openshift.quantities import number, text
from tests.openshift.api import Api
from tests.openshift.storage import Manifest, now

ADDRESS = "127.0.0.1"
# The resources that a quota asks each pod for, if it names them.
COMPUTE = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
UNHEALTHY = "Readiness probe failed: HTTP probe failed with statuscode: 502"
UNATTACHED = (
    'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node and '
    "can't be attached to another"
)
UNPROVISIONED = 'failed to provision volume with StorageClass "standard": no space left in the pool'
UNRESIZED = {
    "type": "FileSystemResizePending",
    "status": "True",
    "message": "Waiting for user to (re-)start a pod to finish file system resize of volume on "
    "node.",
}
RESIZE_FAILED = 'resize volume "pvc-1" by resizer "double" failed: no space left in the pool'
# Faults that the cluster tries again after minutes; pods that are made anew are tried at once.
STUCK = ("scc", "quota", "crash", "image")
REFUSED = {
    "scc": 'pods "%s-" is forbidden: unable to validate against any security context constraint',
    "quota": 'pods "%s-" is forbidden: exceeded quota: small, requested: pods=1',
}


class Controllers:
    """``faults`` maps a deployment's or job's name to what happens to its pods; ``address`` is
    what a load balancer or router gets."""

    def __init__(self, api: Api, address: str = ADDRESS) -> None:
        self.api, self.address = api, address
        self.faults: dict[str, str] = {}
        self.refused_hosts: dict[str, str] = {}
        # Images that no registry has.
        self.missing_images: set[str] = set()
        # Claims whose volumes don't grow.
        self.stuck_volumes: set[str] = set()
        # Called with the name of a deployment whose pods are ready.
        self.ready: Callable[[str], None] = lambda name: None
        self._number = 0
        api.storage.changed = self.reconcile

    def pass_time(self) -> None:
        """Try again what has failed."""
        for (plural, _, _), manifest in self.api.storage.objects.items():
            if plural in ("deployments", "jobs"):
                manifest.get("status", {}).pop("double", None)
        self.reconcile()

    def evict(self, namespace: str, deployment: str) -> None:
        """Have the nodes evict a deployment's pods, whose containers had been started again before:
        as failed ones they stay there, beside their successors."""
        found = self.api.storage.objects["deployments", namespace, deployment]
        owner = f"deployments/{deployment}"
        for key, pod in list(self.api.storage.objects.items()):
            if key[:2] == ("pods", namespace) and _owner(pod) == owner:
                container = pod["spec"]["containers"][0]["name"]
                pod["status"] = _status(container, "evicted")
                self._pod(namespace, owner, found["spec"]["template"], "ready")

    def reconcile(self) -> None:
        storage = self.api.storage
        for (plural, namespace, name), manifest in list(storage.objects.items()):
            if plural == "deployments":
                self._deployment(namespace, name, manifest)
            elif plural == "jobs":
                self._job(namespace, name, manifest)
            elif plural in ("routes", "ingresses", "services"):
                self._exposure(plural, manifest)
        for key, pod in list(storage.objects.items()):
            if key[0] == "pods":
                plural, name = _owner(pod).split("/")
                if (plural, key[1], name) not in storage.objects:
                    del storage.objects[key], storage.owners[key]
        self._resize_volumes()
        self._release_claims()

    def _resize_volumes(self) -> None:
        """Make the volumes of bound claims as large as these ask for."""
        for (plural, namespace, name), claim in list(self.api.storage.objects.items()):
            if plural != "persistentvolumeclaims" or claim["status"]["phase"] != "Bound":
                continue
            wanted = {"storage": claim["spec"]["resources"]["requests"]["storage"]}
            if claim["status"].setdefault("capacity", wanted) == wanted:
                continue
            if name in self.stuck_volumes:
                claim["status"]["conditions"] = [UNRESIZED]
                self._event(namespace, claim, "VolumeResizeFailed", RESIZE_FAILED)
            else:
                claim["status"] = {"phase": "Bound", "capacity": wanted}

    def _release_claims(self) -> None:
        """Let the claims go that are being deleted, and that no pod uses any more."""
        storage = self.api.storage
        used = {
            (key[1], volume["persistentVolumeClaim"]["claimName"])
            for key, pod in storage.objects.items()
            if key[0] == "pods" and pod["status"]["phase"] not in ("Succeeded", "Failed")
            for volume in pod["spec"].get("volumes", [])
            if "persistentVolumeClaim" in volume
        }
        for key, claim in list(storage.objects.items()):
            is_ending = "deletionTimestamp" in claim["metadata"] and key in storage.objects
            if key[0] == "persistentvolumeclaims" and is_ending and key[1:] not in used:
                storage.finish(key)

    def _deployment(self, namespace: str, name: str, manifest: Manifest) -> None:
        spec, generation = manifest["spec"], manifest["metadata"]["generation"]
        fault = self.faults.get(name) or self._fault_of(spec["template"])
        present = manifest.get("status", {})
        is_same = present.get("observedGeneration") == generation
        if is_same and "double" in present and present["double"] in (fault, *STUCK):
            return
        self._remove_pods(namespace, f"deployments/{name}")
        status: dict[str, Any] = {
            "observedGeneration": generation,
            "replicas": spec["replicas"],
            "updatedReplicas": spec["replicas"],
            "availableReplicas": 0 if fault else spec["replicas"],
            "double": fault,
        }
        refusal = REFUSED[fault] % name if fault in REFUSED else None
        for made in range(spec["replicas"]):
            refusal = refusal or self._quotas_refusal(namespace, name, spec["template"])
            if refusal:
                refused = {"type": "ReplicaFailure", "status": "True", "message": refusal}
                status["conditions"] = [refused]
                status["replicas"] = status["updatedReplicas"] = made
                status["availableReplicas"] = 0 if fault else made
                break
            self._pod(namespace, f"deployments/{name}", spec["template"], fault or "ready")
        self.api.storage.objects["deployments", namespace, name]["status"] = status
        if not fault and not refusal:
            self.ready(name)

    def _job(self, namespace: str, name: str, manifest: Manifest) -> None:
        fault = self.faults.get(name.partition("-v3")[0])
        fault = fault or self._fault_of(manifest["spec"]["template"])
        status = manifest.get("status", {})
        present = status.get("double", "")
        if status.get("conditions") or present in STUCK or present == fault != "":
            return
        self._remove_pods(namespace, f"jobs/{name}")
        refusal = REFUSED[fault] % name if fault in REFUSED else None
        refusal = refusal or self._quotas_refusal(namespace, name, manifest["spec"]["template"])
        if refusal:
            # Of a job's refused pods, only events tell.
            manifest["status"] = {"double": fault or "quota"}
            self._event(namespace, manifest, "FailedCreate", f"Error creating: {refusal}")
            return
        self._pod(namespace, f"jobs/{name}", manifest["spec"]["template"], fault or "done")
        ended = {"fails": "Failed", "": "Complete"}.get(fault)
        self.api.storage.objects["jobs", namespace, name]["status"] = {
            "double": fault,
            **({"completionTime": now()} if ended == "Complete" else {}),
            **({"conditions": [{"type": ended, "status": "True"}]} if ended else {}),
        }

    def _fault_of(self, template: Manifest) -> str:
        """Refuse users and groups that aren't of the namespace's range, as OpenShift's restricted
        constraint does; and find no image that is missing."""
        if {each["image"] for each in template["spec"]["containers"]} & self.missing_images:
            return "image"
        chosen = template["spec"].get("securityContext", {}).keys() & {"fsGroup", "runAsUser"}
        return "scc" if chosen and "security.openshift.io/v1" in self.api.kinds else ""

    def _quotas_refusal(self, namespace: str, name: str, template: Manifest) -> str | None:
        """Return what the admission of quotas says against one more pod; None: it has room."""
        objects = self.api.storage.objects.items()
        pods = [
            each["spec"]
            for key, each in objects
            if key[:2] == ("pods", namespace)
            and each["status"]["phase"] not in ("Succeeded", "Failed")
        ]
        for key, quota in objects:
            if key[:2] != ("resourcequotas", namespace):
                continue
            hard = quota["status"]["hard"]
            wanted = _usage([template["spec"]])
            if missing := [each for each in hard if each in COMPUTE and each not in wanted]:
                return f'pods "{name}-" is forbidden: failed quota: {key[2]}: must specify ' + (
                    ",".join(missing)
                )
            used = _usage(pods)
            over = [
                each
                for each in hard.keys() & wanted.keys()
                if used.get(each, 0) + wanted[each] > number(hard[each])
            ]
            if over:
                requested, taken = (
                    ",".join(f"{each}={text(amounts.get(each, 0))}" for each in over)
                    for amounts in (wanted, used)
                )
                limited = ",".join(f"{each}={hard[each]}" for each in over)
                return (
                    f'pods "{name}-" is forbidden: exceeded quota: {key[2]}, requested: '
                    f"{requested}, used: {taken}, limited: {limited}"
                )
        return None

    def _event(self, namespace: str, of: Manifest, reason: str, message: str) -> None:
        self._number += 1
        metadata = of["metadata"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{self._number}"},
            "involvedObject": {
                "kind": of["kind"],
                "name": metadata["name"],
                "uid": metadata.get("uid"),
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "lastTimestamp": now(),
        }
        self.api.add("events", event, namespace)

    def _remove_pods(self, namespace: str, owner: str) -> None:
        """Remove the pods of a deployment or job; a deployment's evicted ones stay."""
        storage = self.api.storage
        for key, pod in list(storage.objects.items()):
            if key[0] != "pods" or _owner(pod) != owner:
                continue
            if not owner.startswith("deployments/") or pod["status"]["phase"] != "Failed":
                del storage.objects[key], storage.owners[key]

    def _pod(self, namespace: str, owner: str, template: Manifest, state: str) -> None:
        self._number += 1
        name = f"{owner.partition('/')[2]}-{self._number:05}"
        metadata = copy.deepcopy(template.get("metadata", {}))
        metadata |= {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": now(),
            "annotations": {**metadata.get("annotations", {}), "double/owner": owner},
        }
        container = template["spec"]["containers"][0]["name"]
        status = _status(container, state)
        if before := template["spec"].get("initContainers"):
            # They have ended well by the time that the pod's own image is pulled.
            ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
            status["initContainerStatuses"] = [
                {"name": each["name"], "ready": True, "restartCount": 0, "state": ended}
                for each in before
            ]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": copy.deepcopy(template["spec"]),
            "status": status,
        }
        self.api.add("pods", pod, namespace)
        # Volumes are bound by their first consumer.
        for volume in template["spec"].get("volumes", []):
            if claimed := volume.get("persistentVolumeClaim"):
                key = ("persistentvolumeclaims", namespace, claimed["claimName"])
                if state == "unprovisioned":
                    claim = self.api.storage.get(key)
                    self._event(namespace, claim, "ProvisioningFailed", UNPROVISIONED)
                else:
                    self.api.storage.objects[key]["status"]["phase"] = "Bound"
        if state == "starting":
            self._event(namespace, pod, "Unhealthy", UNHEALTHY)
        elif state == "mount":
            self._event(namespace, pod, "FailedAttachVolume", UNATTACHED)

    def _exposure(self, plural: str, manifest: Manifest) -> None:
        spec = manifest["spec"]
        if plural == "routes":
            why = self.refused_hosts.get(spec["host"])
            condition = {"type": "Admitted", "status": "False" if why else "True"}
            if why:
                condition |= {"reason": "HostAlreadyClaimed", "message": why}
            entry = {
                "host": spec["host"],
                "routerCanonicalHostname": self.address,
                "conditions": [condition],
            }
            manifest["status"] = {"ingress": [entry]}
        elif plural == "ingresses" or spec["type"] == "LoadBalancer":
            manifest["status"] = {"loadBalancer": {"ingress": [{"ip": self.address}]}}


def _owner(pod: Manifest) -> str:
    """Return what a pod belongs to: ``deployments/quaylab-quay``."""
    owner: str = pod["metadata"]["annotations"]["double/owner"]
    return owner


def _usage(pods: list[Manifest]) -> dict[str, float]:
    """Return what pods take of a quota, by its resources' names."""
    found: dict[str, float] = {"pods": len(pods)}
    for pod in pods:
        for container in pod["containers"]:
            for kind, amounts in container.get("resources", {}).items():
                for name, amount in amounts.items():
                    key = f"{kind}.{name}"
                    found[key] = found.get(key, 0) + number(amount)
    return found


def _status(container: str, state: str) -> Manifest:
    """Return a pod's status, in the words of a kubelet."""
    waiting = {
        "image": ("ImagePullBackOff", 'Back-off pulling image "quay.io/projectquay/quay:v3.18.0"'),
        "crash": ("CrashLoopBackOff", "back-off 40s restarting failed container"),
        "mount": ("ContainerCreating", ""),
    }
    each: dict[str, Any] = {"name": container, "ready": False, "restartCount": 0}
    phase, conditions = "Pending", []
    if state == "unprovisioned":
        return {"phase": phase}
    if state == "pending":
        message = "0/3 nodes are available: 3 Insufficient memory."
        conditions = [{"type": "PodScheduled", "status": "False", "message": message}]
        return {"phase": phase, "conditions": conditions}
    if state in waiting:
        reason, message = waiting[state]
        each["state"] = {"waiting": {"reason": reason, "message": message}}
        if state == "crash":
            each |= {
                "restartCount": 4,
                "lastState": {"terminated": {"exitCode": 255, "reason": "Error"}},
            }
    elif state == "evicted":
        each |= {"restartCount": 3, "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
        message = "The node was low on resource: memory."
        return {
            "phase": "Failed",
            "reason": "Evicted",
            "message": message,
            "containerStatuses": [each],
        }
    elif state == "fails":
        phase = "Failed"
        message = "connection to server at quaylab-database failed: Connection refused"
        each["state"] = {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}
    elif state == "done":
        phase, each["state"] = "Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed"}}
    else:
        phase, each["state"] = "Running", {"running": {"startedAt": now()}}
        each["ready"] = state == "ready"
    return {"phase": phase, "conditions": conditions, "containerStatuses": [each]}

"""What a cluster answers about Quay's operator, and about the registry that the operator makes.

OLM is Kubernetes' installer of operators, the Operator Lifecycle Manager.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quaylab.openshift.objects import CONFIGURATION, Manifest
from quaylab.openshift.operator.description import APP, release
from quaylab.openshift.workloads import Reason, Workloads, pod_reasons

# OLM's and the operator's conditions that say that something is wrong, and stay so.
SUBSCRIPTION_FAILURES = ("InstallPlanFailed", "BundleUnpackFailed")
# OLM tries again after this one; its catalogue may only just start.
UNRESOLVED = "ResolutionFailed"
UNAPPROVED = "InstallPlanPending"
# Reasons for which the operator does not go on until its objects are changed.
HOPELESS = ("ConfigInvalid", "ComponentOverrideInvalid")
BLOCKED, AVAILABLE = "RolloutBlocked", "Available"
# The label of a job's pods.
JOB_LABEL = "job-name"


@dataclass(frozen=True)
class Package:
    """An operator in a catalogue."""

    catalogue: str
    namespace: str
    channels: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Package:
        status = manifest["status"]
        channels = tuple(each["name"] for each in status["channels"])
        return cls(status["catalogSource"], status["catalogSourceNamespace"], channels)


@dataclass(frozen=True)
class OlmObject:
    """Something of OLM's in the namespace: a group of operators, or an installed operator of Quay.

    ``copied_from`` is the namespace of an operator that is installed for several.
    """

    kind: str
    name: str
    copied_from: str = ""


@dataclass(frozen=True)
class Installation:
    """What OLM says of the operator.

    Attributes:
        version: the installed version, a ClusterServiceVersion; None: there is none yet.
    """

    subscription: Manifest | None
    version: Manifest | None

    @property
    def installed(self) -> str:
        """The name of the installed version; empty: there is none."""
        return installed_version(self.subscription)

    @property
    def quay_version(self) -> str | None:
        """The version of Quay's that the operator makes, as it names it itself."""
        annotations = (self.version or {}).get("metadata", {}).get("annotations") or {}
        found: str | None = annotations.get("quay-version")
        return found

    def is_done(self, channel: str) -> bool:
        """Whether the operator runs, in a version of this channel."""
        return (
            self.version is not None
            and self.version.get("status", {}).get("phase") == "Succeeded"
            and release(self.installed) == release(channel)
        )

    @property
    def failure(self) -> str | None:
        """Why OLM has given up."""
        for each in _true_conditions(self.subscription):
            if each["type"] in SUBSCRIPTION_FAILURES:
                return _text(each)
        status = (self.version or {}).get("status", {})
        if status.get("phase") == "Failed":
            return f"{self.installed}: {status.get('reason', '')}: {status.get('message', '')}"
        return None

    def reason(self, channel: str) -> str:
        """Return why the operator does not run yet, in OLM's words as far as there are some."""
        for each in _true_conditions(self.subscription):
            if each["type"] == UNRESOLVED:
                return _text(each)
            if each["type"] == UNAPPROVED and each.get("reason") == "RequiresApproval":
                plan = (self.subscription or {})["status"].get("installPlanRef", {}).get("name")
                return (
                    f"the install plan {plan} waits for approval, as another Subscription in the "
                    "namespace asks for; approve it: kubectl patch installplan "
                    f'{plan} --type=merge --patch=\'{{"spec":{{"approved":true}}}}\''
                )
        if self.installed and release(self.installed) != release(channel):
            return (
                f"it stays at {self.installed}: the catalogue has no upgrade from it to {channel}"
            )
        status = (self.version or {}).get("status", {})
        if status:
            return f"{self.installed}: {status.get('phase')}: {status.get('message', '')}"
        return "OLM has installed nothing yet, and gives no reason"


@dataclass(frozen=True)
class RegistryState:
    """What the operator says of the QuayRegistry, and the pods that it has made of it.

    Attributes:
        configuration: the digest of the bundle that Quay's pods should have been started with.
    """

    registry: Manifest | None
    workloads: Workloads = field(default_factory=lambda: Workloads({}, {}, ()))
    configuration: str = ""

    @property
    def current_version(self) -> str:
        """The version of Quay's whose schema the database has; empty: there is none yet."""
        return current_version(self.registry)

    def is_done(self, replicas: int, quay_version: str | None) -> bool:
        """Whether the registry is available, in this version of Quay's, and all of its pods have
        the present bundle: conditions may be a minute old."""
        app = self.workloads.deployments.get(APP)
        return (
            self.is_observed
            and {each["type"] for each in _true_conditions(self.registry)} & {BLOCKED, AVAILABLE}
            == {AVAILABLE}
            and self.current_version == quay_version
            and app is not None
            and _configuration(app["spec"]["template"]) == self.configuration
            and app["spec"].get("replicas") == replicas
            and self.workloads.is_rolled_out(APP)
        )

    @property
    def is_observed(self) -> bool:
        """Whether the operator has made its objects of the present QuayRegistry. Those before 3.17
        don't say it."""
        if self.registry is None:
            return False
        observed = (self.registry.get("status") or {}).get("observedGeneration")
        return observed is None or observed >= self.registry["metadata"].get("generation", 0)

    @property
    def blocked(self) -> tuple[str, str] | None:
        """Why the operator does not go on until something is changed, and when it last said so."""
        for each in _true_conditions(self.registry):
            if each["type"] == BLOCKED and each.get("reason") in HOPELESS:
                return _text(each), str(each.get("lastUpdateTime"))
        return None

    @property
    def failing(self) -> list[str]:
        """The conditions that are not as they should be, in the operator's words."""
        if self.registry is None:
            return ["there is no QuayRegistry"]
        return [
            _text(each)
            for each in _conditions(self.registry)
            if (each["status"] == "True") is (each["type"] == BLOCKED)
        ]

    @property
    def reasons(self) -> list[Reason]:
        """Why pods don't run. Quay's pods with an earlier bundle are on their way out."""
        return [reason for pod in self._present_pods for reason in pod_reasons(pod)]

    @property
    def failures(self) -> frozenset[Reason]:
        """Why pods wait until somebody changes something. The operator's jobs don't count: they
        start before the database, and are started again until it answers."""
        return frozenset(
            reason
            for pod in self._present_pods
            if JOB_LABEL not in pod["metadata"]["labels"]
            for reason in pod_reasons(pod)
            if reason.is_final
        )

    @property
    def _present_pods(self) -> list[Manifest]:
        return [
            pod
            for pod in self.workloads.pods
            if "deletionTimestamp" not in pod["metadata"]
            and _configuration(pod) in (None, self.configuration)
        ]

    @property
    def progress(self) -> object:
        """What changes while the registry gets on."""
        conditions = [_text(each) for each in _conditions(self.registry)]
        return conditions, self.current_version, self.workloads.pods_of(APP)


def current_version(registry: Manifest | None) -> str:
    """Return the version of Quay's that a QuayRegistry has; empty: none yet."""
    return str(((registry or {}).get("status") or {}).get("currentVersion", ""))


def teardown_note(registry: Manifest | None, subscription: Manifest | None) -> dict[str, str]:
    """Return what is noted before these two are removed, as nothing else would tell it any more:
    the version of Quay's, and the operator's, which may have begun to migrate to a newer one."""
    if registry is None:
        return {}  # the operator has made nothing
    versions = {
        "schema": current_version(registry),
        "operator": installed_version(subscription),
    }
    return {key: version for key, version in versions.items() if version}


def noted_operator(note: Manifest | None) -> str:
    """Return the operator's version when the registry was last taken down; empty: it never was."""
    return _noted(note, "operator")


def noted_version(note: Manifest | None, verified: Manifest | None) -> str:
    """Return the version of Quay's when the registry was last taken down, or last verified; empty:
    there is none.

    Args:
        verified: the note of the registry that was verified last.
    """
    words = _noted(verified, "quay").split()
    return max(_noted(note, "schema"), words[2] if len(words) > 2 else "", key=release)


def _noted(note: Manifest | None, key: str) -> str:
    return str(((note or {}).get("data") or {}).get(key, ""))


def installed_version(subscription: Manifest | None) -> str:
    """Return the name of the version that a Subscription has had installed; empty: none yet."""
    return str(((subscription or {}).get("status") or {}).get("installedCSV", ""))


def _configuration(pod: Manifest) -> str | None:
    found: str | None = (pod["metadata"].get("annotations") or {}).get(CONFIGURATION)
    return found


def _conditions(manifest: Manifest | None) -> list[Manifest]:
    return ((manifest or {}).get("status") or {}).get("conditions") or []


def _true_conditions(manifest: Manifest | None) -> list[Manifest]:
    return [each for each in _conditions(manifest) if each["status"] == "True"]


def _text(condition: Manifest) -> str:
    words = (condition["type"], condition.get("reason"), condition.get("message"))
    return ": ".join(word for word in words if word)

"""A RHEL host's subscription: registered, with its pool, its release and its repositories."""

from operations import credentials, files, subscription
from operations.plan import plan
from quaylab.files import ManagedFile
from quaylab.subscription import CA_PATH

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

found = subscription.found(lab)

if isinstance(found, str):
    subscription.left_alone(name="Leave the subscription as it is", reason=found)
else:
    settings = lab.settings
    secret = subscription.secret(settings, found)

    if settings.rhsm_ca:
        files.present(
            name="Trust the subscription service's CA",
            files=[ManagedFile(CA_PATH, settings.rhsm_ca.read_text())],
        )

    subscription.registered(name="Register the host", settings=settings, secret=secret)

    if settings.rhsm_pool or settings.rhsm_pool_matches:
        subscription.pool_attached(name="Attach a pool", settings=settings)

    subscription.release_locked(name="Lock the release", release=settings.rhsm_release)

    if settings.rhsm_repositories is not None:
        subscription.repositories_enabled(
            name="Enable the repositories", ids=settings.rhsm_repositories
        )

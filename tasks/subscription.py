"""A RHEL host's subscription: registered, with its pool, its release and its repositories."""

from operations.hosts import files, subscription
from operations.runtime.run import begin
from quaylab.hosts.subscription import certificate

plan = begin()

found = subscription.found(plan)

if isinstance(found, str):
    subscription.skipped(name="Skip the RHEL subscription", reason=found)
else:
    settings = plan.settings
    subscription.check(settings, found)
    secret = subscription.secret(settings, found)

    if ca := certificate(settings):
        files.present(name="Trust the subscription service's CA", files=[ca])

    subscription.registered(name="Register the host", settings=settings, secret=secret)

    if settings.rhsm_pool or settings.rhsm_pool_matches:
        subscription.pool_attached(
            name="Attach a pool, unless Simple Content Access", settings=settings
        )

    subscription.release_locked(name="Lock the release", release=settings.rhsm_release)

    if settings.rhsm_repositories is not None:
        subscription.repositories_enabled(
            name="Enable the repositories", ids=settings.rhsm_repositories
        )

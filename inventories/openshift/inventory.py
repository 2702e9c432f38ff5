"""A registry in OpenShift: this machine is logged in to the cluster, and runs nothing itself."""

openshift = ["@local"]

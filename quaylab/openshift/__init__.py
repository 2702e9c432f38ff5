"""A registry in an OpenShift or Kubernetes cluster, described as objects of its API."""

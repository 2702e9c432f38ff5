"""Operations on a registry in an OpenShift or Kubernetes cluster."""

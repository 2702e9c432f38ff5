"""A registry in a project of OpenShift, with an object store that runs elsewhere.

A run asks for the object store's keys, or takes them from QUAYLAB_STORAGE_ACCESS_KEY and
QUAYLAB_STORAGE_SECRET_KEY.
"""

lab_name = "openshift"
server_hostname = "quay.apps.example.com"
quay_version = "v3.18.0"

# The login that `oc login` has made, and its context, as `oc config get-contexts` shows it.
openshift_kubeconfig = "/root/.kube/config"
openshift_context = "quay-enterprise/api-example-com:6443/admin"

storage = "s3"
storage_host = "objects.example.com"

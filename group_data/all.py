"""Every setting with its default. Set yours in group_data/all.py beside your inventory, or for one
run with `--data KEY=VALUE`."""

from quaylab.clients.tunnel import prompt_transport

# --- The registry as a whole ---
# Name of this registry's credentials and CA, in credentials/ on this machine.
lab_name = "quaylab"
# Seconds that a started service has to become healthy.
health_timeout = 300
# MB of free space that images and each kind of data need before the first run.
minimum_disk_mb = 10240

# --- Quay ---
# The registry's public name; None: the Quay host's inventory name if that is a full DNS name,
# else quay.quaylab.lan.
server_hostname = None
# Port of the registry: on Quay's host, or on the balancers if there are some.
quay_https_port = 443
# Port of the redirect from http to https; without a balancer it is published only if
# quay_https_port is 443, because Quay redirects to 443.
quay_http_port = 80
# Port of Quay on its hosts behind balancers; a host's second container has the next one.
quay_node_port = 8443
# Quay containers on each Quay host; behind a balancer two of them let an upgrade of one host lose
# no request.
quay_instances = 1
# Quay's version, which is its image's tag; None: v3.18.0, with MySQL v3.16.5.
quay_version = None
# Quay's image without its tag.
quay_image = "quay.io/projectquay/quay"
# Name of Quay's first user, who is its superuser.
quay_superuser = "quayadmin"
# The superuser's mail address.
quay_superuser_email = "quayadmin@example.com"
# Directory on the Quay host for the images' blobs; None: a named volume.
quay_storage_path = None
# Workers of each kind (WORKER_COUNT); None: as many as fit the memory.
quay_workers = None
# Further keys of Quay's config.yaml, such as FEATURE_PROXY_CACHE.
quay_config: dict[str, object] = {}
# Quay's license file on this machine; only Quay 2.9 takes one.
quay_license = None
# Processors that a Quay host needs.
minimum_cpus = 2
# MB of memory that a Quay host needs; None: 4096, with the database on it 8192.
minimum_memory_mb = None

# --- The balancer ---
# Name or address of a load balancer that runs elsewhere, instead of group `balancer`; it must ask
# /health/instance, and set X-Forwarded-For.
balancer_host = None
# HAProxy's image, based on Debian, 2.6 or newer.
balancer_image = "docker.io/library/haproxy:3.2"
# Port of HAProxy's health and metrics, on the balancer's loopback.
balancer_status_port = 8404
# The address that clients use, which one of two or more balancers holds, by keepalived; None: they
# use the balancers' own addresses.
virtual_address = None
# VRRP's number of the virtual address; each one in a network has its own.
virtual_router_id = 51

# --- The database ---
# postgresql or mysql; Quay supports no others.
database_engine = "postgresql"
# Name of Quay's database.
database_name = "quay"
# Quay's role in the database, no superuser.
database_user = "quay"
# Directory on the database host for its data; None: a named volume.
database_data = None
# Address the database listens on; None: loopback, or the host's address when Quay runs on another
# host.
database_listen = None
# Address of an external database server, instead of group `database`.
database_host = None
# Port of the database; None: 5432, with MySQL 3306.
database_port = None
# With database_host: the CAs (PEM) on this machine that sign its certificate, for TLS with chain
# and name verified; None: nothing is verified.
database_ca = None
# With database_host: the server's administrator, who creates Quay's role, database and pg_trgm
# where they are missing.
database_admin = None
# With database_host: the Quay version of your own backup, without which no upgrade from that
# version begins.
database_backup = None

# --- PostgreSQL ---
# PostgreSQL's image.
postgresql_image = "quay.io/sclorg/postgresql-15-c9s:c9s"
# With several database hosts: port of Patroni's API, which tells who leads.
patroni_port = 8008

# --- etcd ---
# etcd's image, of which the binaries are taken; with several database hosts.
etcd_image = "quay.io/coreos/etcd:v3.5.21"
# Port of etcd for Patroni.
etcd_port = 2379
# Port of etcd for its other members.
etcd_peer_port = 2380

# --- MySQL ---
# MySQL's image.
mysql_image = "quay.io/sclorg/mysql-80-c9s:c9s"

# --- Redis ---
# Address Redis listens on; None: loopback, or the host's address when Quay runs on another host.
redis_listen = None
# Address of an external Redis, instead of group `redis`.
redis_host = None
# Port of Redis.
redis_port = 6379
# With redis_host: the CAs (PEM) on this machine that sign its certificate, for TLS with chain and
# name verified; None: without TLS.
redis_ca = None
# Redis' image.
redis_image = "quay.io/sclorg/redis-7-c9s:c9s"

# --- Object storage ---
# Where the blobs are stored: local (a volume), radosgw (Ceph), s3 (AWS and compatible), gcs
# (Google) or swift (OpenStack); None: local, or radosgw with a host in group `ceph`.
storage = None
# The object store's end point; None: AWS's of storage_region, Google's, or that of group `ceph`.
storage_host = None
# Its port; None: 443, without TLS 80, and 7480 in group `ceph`.
storage_port = None
# Whether it is reached over TLS, which is verified.
storage_tls = True
# Its CA (PEM) on this machine; None: a public one.
storage_ca = None
# Its region, which s3 needs unless storage_host is set.
storage_region = None
# Bucket of the blobs, with swift their container.
storage_bucket = "quay-storage"
# Prefix of the blobs' names in the bucket.
storage_path = "/datastorage/registry"
# Quay's name for the store; Quay finds blobs by it, so never change it.
storage_location = "default"
# Whether Quay sends the blobs itself, for clients that can't reach the object store.
storage_proxy = False
# With s3: whether to use the IAM role of Quay's machine instead of keys.
storage_iam_role = False
# With swift: URL of its tokens, including the version, such as /v3.
swift_auth_url = None
# With swift: 1 (its own), 2 or 3 (Keystone).
swift_auth_version = 3
# With swift 2 and 3: os_options; 3 needs tenant_id and user_domain_name.
swift_options: dict[str, str] = {}

# --- Ceph ---
# Ceph's image, also for cephadm.
ceph_image = "quay.io/ceph/ceph:v18.2.7"
# Each Ceph host's block devices or files for its OSDs; empty: on one host a file in its data, on
# several every unused disk.
ceph_osd_devices: tuple[str, ...] = ()
# GB of an OSD that is a file.
ceph_osd_size_gb = 20
# MB of memory for each OSD; None: 1024 on one host, 4096 on several.
ceph_osd_memory_mb = None
# Directory on a single Ceph host for its data; None: a named volume.
ceph_data = None
# GB that Quay's blobs may take up in Ceph; None: no limit.
ceph_quota_gb = None
# Whether Quay's user in Ceph may use its Swift interface as well, as quay:swift.
ceph_swift = False
# With several Ceph hosts and balancers: port of the gateways on the balancers.
ingress_port = 7443

# --- Certificates ---
# Your certificate (PEM, with its chain) on this machine; None: one that Quaylab's own CA signs.
tls_certificate = None
# Its private key (PEM) on this machine.
tls_key = None

# --- Images ---
# registry: pull; archive: load image_archive; packages: build from Debian's packages, with a
# stand-in for Quay.
image_source = "registry"
# A `docker save` file on this machine with all images that the hosts need.
image_archive = None
# Your config.json with the image registry's login, on this machine.
pull_secret = None
# User on the hosts; the login is merged into this user's .docker/config.json.
pull_secret_user = "root"

# --- The engine and the network ---
# docker or podman; None: the one by which the host serves the registry already, else Podman on RHEL
# 8+ and its clones, and Docker elsewhere.
container_engine = None
# Docker CE's package repository or a mirror of it, for RHEL 8+ and its clones.
docker_ce_repository = "https://download.docker.com/linux"
# Size at which Docker rotates a container's log; Podman's are in the journal.
container_log_size = "10m"
# Number of log files that Docker keeps.
container_log_files = 3
# Proxy for http, used by the engine, builds and Quay; it can't have a password.
http_proxy = None
# Proxy for https, likewise.
https_proxy = None
# Hosts reached without the proxy, comma separated.
no_proxy = None
# Your company's CA (PEM) on this machine, trusted by the hosts and by Quay.
company_ca = None

# --- The hypervisor ---
# Networks of the hypervisor, each with name, forward, bridge, domain, network, broadcast,
# ip_address, ip_netmask, dhcp_start, dhcp_end; optional: dns_forwarder, a list.
libvirt_bridges: list[dict[str, object]] = []
# Its storage pools by name, each with type (lvm or dir) and path; for lvm the path is the disk's,
# and the volume group has the pool's name.
libvirt_pools: list[dict[str, dict[str, str]]] = []
# kvm, or qemu if the processor has no virtualisation, which is slow.
virt_type = "kvm"
# Seconds that a VM has for its first boot.
virtual_machine_timeout = 600
# With tasks/hypervisor.py: the VM to create again from its image; its root disk is lost, its other
# disks stay.
reimage = None

# --- OpenShift or Kubernetes ---
# File with the login to the cluster, on the host of group `openshift`.
openshift_kubeconfig = None
# The file's context for the cluster; its current context is never used.
openshift_context = None
# The API server that the context has to lead to; None: the one of the last run.
openshift_server = None
# Namespace (in OpenShift: project) of the registry, which is made if it is missing.
openshift_namespace = "quay-enterprise"
# How the registry is made: by Quaylab's own objects (template), or by Quay's operator (operator).
openshift_method = "template"
# Catalogue that the operator is installed from.
openshift_catalogue = "redhat-operators"
# The operator's package in that catalogue; in community-operators it is project-quay.
openshift_operator = "quay-operator"
# How clients reach the registry; None: a route, which only OpenShift has.
openshift_exposure = None
# Pods of Quay; None: 2, with the blobs in a volume 1.
openshift_replicas = None
# MB of memory of each pod of Quay; with one worker it uses 2200.
openshift_memory_mb = 4096
# Storage class of the volumes; None: the cluster's default.
openshift_storage_class = None
# GB of the database's volume, and of that of its dumps.
openshift_database_gb = 10
# GB of the blobs' volume, if there is no object store.
openshift_blobs_gb = 50

# --- RHEL's subscription ---
# Organization to register RHEL hosts with, by an activation key unless rhsm_user is set.
rhsm_organization = None
# User who registers RHEL hosts, by a password instead of an activation key.
rhsm_user = None
# Subscription service, such as https://satellite.example.com/rhsm; None: as configured on the
# host, by default Red Hat's.
rhsm_server = None
# With rhsm_server: URL of its content, such as https://satellite.example.com/pulp/content; None:
# Red Hat's.
rhsm_content = None
# With rhsm_server: its CA (PEM) on this machine.
rhsm_ca = None
# Id of the pool to attach, where pools exist: before RHEL 10, without Simple Content Access.
rhsm_pool = None
# Instead of rhsm_pool: a pattern; one of the matching pools is attached.
rhsm_pool_matches = None
# Repositories to enable, all others being disabled; None: left as they are.
rhsm_repositories = None
# RHEL release to lock the hosts to; None: not locked.
rhsm_release = None
# With tasks/teardown.py: unregister the RHEL hosts.
rhsm_unregister = False

# --- Restoring a dump ---
# With tasks/restore_database.py: the dump to restore; None: the newest; tasks/restore_openshift.py
# needs its name.
restore = None

# --- Forgetting a lost database host ---
# With tasks/forget_member.py: the host, which has left the inventory; or its address, which is all
# that etcd knows of one that has never started there.
forget = None

# --- Removing what a former engine has kept ---
# With tasks/purge_engine.py: the engine that the registry has left, which confirms that what it
# kept is deleted.
purge_engine = None

# --- Teardown ---
# With tasks/teardown.py: the registry's name, which confirms that all data is deleted.
purge = None

# --- A single host ---
# Disks for the engine's images and containers, such as {"devices": ["/dev/vdb"], "volume_group":
# "docker-vg"}; None: no disk of its own.
docker_storage = None
# Disks for Quay's local storage, such as {"devices": ["/dev/vdc"]}, mounted at quay_storage_path;
# None: no disk of its own.
quay_storage = None
# The host's address for its peers; None: its ssh_hostname or its name if that is an IP address,
# else its only address.
address = None

# --- A virtual machine, in the group `lab` ---
# A VM's vcpus, ram (MB), disks besides the root disk (each with size in GB and pool) and network.
resources = None
# A VM's cloud image, qcow2, by http(s) or as a file on the hypervisor.
image_uri = (
    "https://cloud.debian.org/images/cloud/trixie/20260712-2537/"
    "debian-13-genericcloud-amd64-20260712-2537.qcow2"
)
# Its sha256: or sha512:, with the digits or the URL of a list of checksums.
image_checksum = (
    "sha512:7ae53e9dbee282bfc16f289dec483dde3a8598769c38a267948310f7a2a52c66"
    "2620198603bc52c142627efba379863d16079698a10b34102d55bcedd40e8d32"
)
# The lvm pool for a VM's root disk, as a logical volume; None: a file in /var/lib/libvirt/images.
convert_to_lv_on_vg = None
# Password of cloud-user in a VM; None: no login by password.
cloud_user_passwd = None
# Public SSH key of cloud-user in a VM.
ssh_pub_key = None
# Packages that a VM's first boot installs.
install_packages: list[str] = []
# Commands that a VM's first boot runs at its end.
run_cmds: list[str] = []
# Whether a VM's first boot updates all packages.
update = False

# --- Not a setting of Quaylab: pyinfra uses it for every SSH connection ---
ssh_paramiko_connect_kwargs = {"transport_factory": prompt_transport}

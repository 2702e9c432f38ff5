"""Settings: a bad value of each key is refused with the key and a valid example."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quaylab.problems import Refusal
from quaylab.settings.loading import HostInput, HostSettings, Settings, load
from tests.unit.samples import DEFAULTS, HOST_DEFAULTS, host, settings

NO_FILE = "no such file on this machine"

# A bad value of every key, and a part of its message.
INVALID_VALUES: dict[str, tuple[Any, str]] = {
    "lab_name": ("My Lab", "for example quaylab"),
    "server_hostname": ("quay", "for example quay.example.com"),
    "quay_https_port": (0, "greater than or equal to 1"),
    "quay_http_port": ("80", "a valid integer"),
    "quay_version": ("3.18", "for example v3.18.0"),
    "quay_superuser": ("Admin", "for example quayadmin"),
    "quay_superuser_email": ("quayadmin", "for example quayadmin@example.com"),
    "quay_storage_path": ("srv/quay", "for example /srv/"),
    "quay_workers": (0, "greater than or equal to 1"),
    "quay_node_port": (65536, "less than or equal to 65535"),
    "quay_instances": (5, "less than or equal to 4"),
    "balancer_host": ("balancer_1", "for example 192.168.254.10"),
    "balancer_image": ("haproxy", "for example quay.io/sclorg/"),
    "balancer_status_port": (0, "greater than or equal to 1"),
    "virtual_address": ("192.168.254.300", "four numbers up to 255"),
    "virtual_router_id": (256, "less than or equal to 255"),
    "quay_config": (["FEATURE_MAILING"], "a valid dictionary"),
    "health_timeout": (5, "greater than or equal to 10"),
    "tls_certificate": ("/nowhere/quay.crt", NO_FILE),
    "tls_key": ("/nowhere/quay.key", NO_FILE),
    "database_engine": ("mariadb", "'postgresql' or 'mysql'"),
    "database_name": ("Quay-DB", "for example quay"),
    "database_user": ("quay'; DROP", "for example quay"),
    "database_data": ("/", "for example /srv/"),
    "database_listen": ("*", "for example 192.168.254.10"),
    "database_host": ("http://db.example.com", "for example 192.168.254.10"),
    "database_port": (70000, "less than or equal to 65535"),
    "database_ca": ("/nowhere/ca.pem", NO_FILE),
    "database_admin": ("post gres", "for example postgres"),
    "database_backup": (True, "a valid string"),
    "redis_listen": ("", "for example 192.168.254.10"),
    "redis_host": ("redis_1", "for example 192.168.254.10"),
    "redis_port": (True, "a valid integer"),
    "patroni_port": (0, "greater than or equal to 1"),
    "etcd_image": ("etcd:", "for example quay.io/sclorg/"),
    "etcd_port": ("2379", "a valid integer"),
    "etcd_peer_port": (65536, "less than or equal to 65535"),
    "redis_ca": ("/nowhere/ca.pem", NO_FILE),
    "storage": ("azure", "'local', 'radosgw', 's3', 'gcs' or 'swift'"),
    "storage_host": ("https://s3.example.com", "for example 192.168.254.10"),
    "storage_port": (0, "greater than or equal to 1"),
    "storage_tls": ("yes", "a valid boolean"),
    "storage_ca": ("/nowhere/ca.pem", NO_FILE),
    "storage_region": ("Frankfurt", "for example eu-central-1"),
    "storage_bucket": ("Quay Storage", "for example quay-storage"),
    "storage_path": ("../blobs", "for example /srv/quay"),
    "storage_location": ("my store", "for example quay"),
    "storage_proxy": (1, "a valid boolean"),
    "storage_iam_role": ("arn:aws:iam::1:role/quay", "a valid boolean"),
    "swift_auth_url": ("keystone.example.com:5000/v3", "for example https://"),
    "swift_auth_version": (4, "1, 2 or 3"),
    "swift_options": (["project_name"], "a valid dictionary"),
    "ceph_image": ("quay.io/ceph/ceph", "for example quay.io/sclorg/"),
    "ceph_osd_devices": ("/dev/sdb", "a valid tuple"),
    "ceph_osd_size_gb": (0, "greater than or equal to 1"),
    "ceph_osd_memory_mb": (512, "greater than or equal to 896"),
    "ceph_data": ("ceph", "for example /srv/"),
    "ceph_quota_gb": (0, "greater than or equal to 1"),
    "ceph_swift": ("yes", "a valid boolean"),
    "ingress_port": (0, "greater than or equal to 1"),
    "image_source": ("build", "'registry', 'archive' or 'packages'"),
    "image_archive": ("/nowhere/images.tar", NO_FILE),
    "quay_image": ("quay.io/projectquay/quay:v3.18.0", "for example quay.io/projectquay/quay"),
    "postgresql_image": ("quay.io/sclorg/postgresql-15-c9s", "for example quay.io/sclorg/"),
    "mysql_image": ("mysql", "for example quay.io/sclorg/"),
    "redis_image": ("redis:", "for example quay.io/sclorg/"),
    "pull_secret": ("/nowhere/config.json", NO_FILE),
    "pull_secret_user": ("Root", "does not have the right form"),
    "quay_license": ("/nowhere/license", NO_FILE),
    "container_engine": ("kubernetes", "docker"),
    "docker_ce_repository": ("http://mirror.example.com", "for example https://"),
    "container_log_size": ("10 MB", "for example 10m"),
    "container_log_files": (0, "greater than or equal to 1"),
    "http_proxy": ("proxy.example.com:3128", "for example http://proxy.example.com:3128"),
    "https_proxy": ("socks5://proxy.example.com", "for example http://proxy.example.com:3128"),
    "no_proxy": (["localhost"], "a valid string"),
    "company_ca": ("/nowhere/ca.pem", NO_FILE),
    "minimum_cpus": (0, "greater than or equal to 1"),
    "minimum_memory_mb": ("8g", "a valid integer"),
    "minimum_disk_mb": (10, "greater than or equal to 1024"),
    "libvirt_bridges": ("quaylab", "a valid list"),
    "libvirt_pools": ({"virt-pool": {"type": "dir"}}, "a valid list"),
    "virt_type": ("xen", "'kvm' or 'qemu'"),
    "virtual_machine_timeout": (0, "greater than or equal to 30"),
    "reimage": (True, "a valid string"),
    "rhsm_organization": ("My Lab", "for example 1234567"),
    "rhsm_user": ("-x", "for example admin@example.com"),
    "openshift_kubeconfig": ("~/.kube/config", "for example /srv/"),
    "openshift_context": ("two\nlines", "a line of printable text"),
    "openshift_server": ("api.example.com:6443", "for example https://"),
    "openshift_namespace": ("Quay_Enterprise", "for example quay-enterprise"),
    "openshift_method": ("helm", "'template' or 'operator'"),
    "openshift_catalogue": ("Red Hat", "for example fast-ssd"),
    "openshift_operator": ("Quay", "for example fast-ssd"),
    "openshift_exposure": ("nodeport", "'route', 'ingress' or 'loadbalancer'"),
    "openshift_replicas": (0, "greater than or equal to 1"),
    "openshift_memory_mb": (512, "greater than or equal to 3072"),
    "openshift_storage_class": ("Fast", "for example fast-ssd"),
    "openshift_database_gb": (0, "greater than or equal to 1"),
    "openshift_blobs_gb": (0, "greater than or equal to 1"),
    "rhsm_server": ("satellite.example.com", "for example https://"),
    "rhsm_content": ("satellite.example.com/pulp", "for example https://"),
    "rhsm_ca": ("/nowhere/satellite.pem", NO_FILE),
    "rhsm_pool": ("Employee SKU", "for example 8a85f9833e1404a9013e3cddf95a0599"),
    "rhsm_pool_matches": ("--all", "for example *Employee SKU*"),
    "rhsm_repositories": ("rhel-7-server-rpms", "a valid list"),
    "rhsm_release": ("latest", "for example 9.4"),
    "rhsm_unregister": (1, "a valid boolean"),
    "forget": (3, "a valid string"),
    "restore": ("../dump", "for example v3.16.5-to-v3.18.0-"),
    "purge": (True, "a valid string"),
    "purge_engine": ("kubernetes", "'docker' or 'podman'"),
    # Settings of one host.
    "docker_storage": ("/dev/vdb", "a valid dictionary"),
    "quay_storage": (["/dev/vdc"], "a valid dictionary"),
    "address": ("a b", "for example 192.168.254.10"),
    "resources": ([], "a valid dictionary"),
    "image_uri": ("ftp://mirror.example.com/a.qcow2", "or file:///srv/"),
    "image_checksum": ("sha256:http://example.com/SHA256SUMS", "or sha256:https://…/SHA256SUMS"),
    "convert_to_lv_on_vg": ("/dev/sdb", "for example quaylab"),
    "cloud_user_passwd": (True, "a valid string"),
    "ssh_pub_key": ("~/.ssh/id_ed25519.pub", "for example ssh-ed25519"),
    "install_packages": ("vim", "a valid list"),
    "run_cmds": ("echo", "a valid list"),
    "update": ("yes", "a valid boolean"),
}
FIELDS = Settings.model_fields | HostSettings.model_fields
SECRET = {key for key, field in FIELDS.items() if not field.repr}


def _problems(*hosts: HostInput) -> tuple[str, ...]:
    with pytest.raises(Refusal) as refused:
        load(list(hosts))
    return refused.value.problems


def test_defaults_are_settings() -> None:
    settings, host_settings = load([host("quay.example.com")])
    assert settings.model_dump() == DEFAULTS
    assert host_settings["quay.example.com"].address is None


def test_table_has_every_setting() -> None:
    assert set(INVALID_VALUES) == set(FIELDS)


@pytest.mark.parametrize("key", INVALID_VALUES)
def test_bad_value_is_refused_with_key_and_remedy(key: str) -> None:
    value, remedy = INVALID_VALUES[key]
    (problem,) = _problems(host("quay.example.com", **{key: value}))
    assert problem.removeprefix("quay.example.com: ").startswith(key)
    assert remedy in problem
    assert (FIELDS[key].description or "") in problem


@pytest.mark.parametrize("key", sorted(set(INVALID_VALUES) - SECRET))
def test_bad_value_is_shown(key: str) -> None:
    value, _ = INVALID_VALUES[key]
    (problem,) = _problems(host("quay.example.com", **{key: value}))
    assert repr(value) in problem


@pytest.mark.parametrize("key", ["http_proxy", "https_proxy"])
def test_password_in_a_proxy_is_refused_and_not_shown(key: str) -> None:
    (problem,) = _problems(host("quay.example.com", **{key: "http://me:hunter2@proxy:3128"}))
    assert problem.startswith(f"{key}: ")
    assert "hunter2" not in problem


def test_password_of_a_proxy_is_not_in_repr() -> None:
    settings, _ = load([host("quay.example.com", http_proxy="http://hunter2.example.com")])
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("databse_engine", "did you mean database_engine?"),
        ("adress", "did you mean address?"),
        ("hypervisor_uri", "group_data/all.py lists all settings"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest(key: str, hint: str) -> None:
    (problem,) = _problems(host("quay.example.com", **{key: "x"}))
    assert problem == f"{key}: no such setting; {hint}"


def test_missing_key_names_the_defaults() -> None:
    given = {**DEFAULTS, **HOST_DEFAULTS}
    data = {key: value for key, value in given.items() if key != "redis_port"}
    (problem,) = _problems(HostInput("quay.example.com", ("quay",), data))
    assert problem.startswith("redis_port: not set; group_data/all.py has its default")


def test_hosts_that_differ_in_a_run_wide_key() -> None:
    problem, *more = _problems(
        host("quay.example.com"),
        host("db.example.com", database_name="other"),
        host("redis.example.com"),
    )
    assert problem.startswith("database_name: quay.example.com and db.example.com differ")
    assert "in group_data/all.py" in problem
    assert not more


def test_an_item_of_a_list_is_named_by_its_index() -> None:
    (problem,) = _problems(host("quay.example.com", rhsm_repositories=["rhel-7-server-rpms", "*"]))
    assert problem.startswith("rhsm_repositories[1]: '*': does not have the right form")


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_devices(kind: Callable[[list[str]], object]) -> None:
    found = settings(ceph_osd_devices=kind(["/dev/sdc", "/dev/sdb"]))
    assert found.ceph_osd_devices == ("/dev/sdc", "/dev/sdb")


@pytest.mark.parametrize("kind", [set, iter])
def test_devices_without_an_order_or_for_one_reading(kind: Callable[[list[str]], object]) -> None:
    devices = kind(["/dev/sdb", "/dev/sdc"])
    (problem,) = _problems(host("quay.example.com", ceph_osd_devices=devices))
    assert problem.startswith("ceph_osd_devices: ")
    assert "a valid tuple" in problem


def test_a_device_that_is_named_twice() -> None:
    devices = ("/dev/sdb", "/dev/sdc", "/dev/sdb")
    (problem,) = _problems(host("quay.example.com", ceph_osd_devices=devices))
    assert f"{devices}: names /dev/sdb more than once; name it once" in problem


def test_all_problems_are_reported_at_once() -> None:
    problems = _problems(
        host("quay.example.com", redis_port=0, foo=1, address="a b"),
        host("db.example.com", redis_port=0, foo=1, lab_name="other"),
    )
    assert sorted(problem.split(": ")[0] for problem in problems) == [
        "foo",
        "lab_name",
        "quay.example.com",
        "redis_port",
    ]


def test_address_may_differ_between_hosts() -> None:
    _, host_settings = load(
        [
            host("quay.example.com", address="192.168.254.10"),
            host("db.example.com", address="192.168.254.11"),
        ]
    )
    assert [each.address for each in host_settings.values()] == ["192.168.254.10", "192.168.254.11"]


@pytest.mark.parametrize("key", ["database_data", "quay_storage_path"])
def test_path_with_two_dots_is_refused(key: str) -> None:
    (problem,) = _problems(host("quay.example.com", **{key: "/srv/../etc"}))
    assert problem.startswith(f"{key}: '/srv/../etc': must not hold '..'")


@pytest.mark.parametrize("path", ["/srv//quay", "//srv/quay", "/srv/./quay"])
def test_a_path_is_written_in_one_way_only(path: str) -> None:
    (problem,) = _problems(host("quay.example.com", quay_storage_path=path))
    assert "must be written as /srv/quay" in problem


@pytest.mark.parametrize(
    "key", ["_sudo", "ssh_user", "ssh_hostname", "fake_responses", "docker_identifier"]
)
def test_keys_of_pyinfra_are_ignored(key: str) -> None:
    settings, _ = load([host("quay.example.com", **{key: "x"}), host("db.example.com")])
    assert settings.model_dump() == DEFAULTS


def test_settings_cannot_be_changed() -> None:
    settings, _ = load([host("quay.example.com")])
    with pytest.raises(ValueError, match="frozen"):
        settings.redis_port = 1


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    settings, _ = load([host("quay.example.com", pull_secret="~/config.json")])
    assert settings.pull_secret == tmp_path / "config.json"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("server_hostname", "registry.lab-1.example.com"),
        ("quay_version", "v2.9.1"),
        ("quay_superuser", "quay-admin.1"),
        ("postgresql_image", "registry.example.com:5000/rhscl/postgresql-96-rhel7:1-64"),
        ("quay_image", "registry.example.com:5000/quay"),
        ("database_host", "db.example.com"),
        ("database_admin", "admin@quay-db"),
        ("redis_host", "fd00::6"),
        ("container_log_size", "512k"),
        ("https_proxy", "https://proxy.example.com:3128/"),
        ("no_proxy", "*"),
        ("no_proxy", "localhost, *.example.com"),
        ("redis_image", "redis:8"),
        ("redis_image", "localhost:5000/a__b/c-d.e:C_9"),
        ("quay_image", "my_team/quay"),
    ],
)
def test_good_values(key: str, value: str) -> None:
    settings, _ = load([host("quay.example.com", **{key: value})])
    assert getattr(settings, key) == value


@pytest.mark.parametrize("key", ["database_host", "redis_listen", "balancer_host", "storage_host"])
def test_an_ipv6_address_is_read_in_its_canonical_form(key: str) -> None:
    settings, _ = load([host("quay.example.com", **{key: "FD00:0:0::6"})])
    assert getattr(settings, key) == "fd00::6"


@pytest.mark.parametrize("address", ["::1", "::", "fd00::"])
def test_canonical_addresses_may_begin_or_end_with_colons(address: str) -> None:
    assert load([host("quay.example.com", redis_listen=address)])[0].redis_listen == address


@pytest.mark.parametrize(
    "image",
    [
        "quay.io/Sclorg/redis:7",
        "quay.io//redis:7",
        "quay.io/redis/:7",
        "quay.io/-redis:7",
        "quay.io/re...dis:7",
        "quay..io/redis:7",
        "quay.io:70000/redis:7",
        "quay.io:0/redis:7",
        "quay.io:443:443/redis:7",
        "quay.io/redis:443/redis:7",
    ],
)
def test_a_name_that_no_engine_takes_for_an_image(image: str) -> None:
    for key, value in {"redis_image": image, "quay_image": image[:-2]}.items():
        (problem,) = _problems(host("quay.example.com", **{key: value}))
        assert problem.startswith(f"{key}: {value!r}: ")


@pytest.mark.parametrize("hosts", ["*,localhost", "localhost, *", "a,*,b"])
def test_an_asterisk_beside_others(hosts: str) -> None:
    (problem,) = _problems(host("quay.example.com", no_proxy=hosts))
    assert problem.startswith(f"no_proxy: {hosts!r}: has * beside others; write * alone")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("db.example.com:5433", "is not an address; a port has a setting of its own"),
        ("a::::1", "is not an address"),
        ("999.1.1.1", "is not an address; an IPv4 one has four numbers"),
        ("10.1", "is not an address"),
        ("a..b", "has a label"),
        ("a" * 64 + ".example.com", "has a label"),
    ],
)
def test_address_that_cannot_be_resolved(address: str, message: str) -> None:
    (problem,) = _problems(host("quay.example.com", database_host=address))
    assert problem.startswith(f"database_host: {address!r}: {message}")


def test_name_with_a_label_that_is_too_long() -> None:
    (problem,) = _problems(host("quay.example.com", server_hostname="a" * 64 + ".example.com"))
    assert problem.startswith("server_hostname: ")


def test_login_in_a_bad_value_is_not_shown() -> None:
    url = "postgresql://me:hunter2@db.example.com/quay"
    (problem,) = _problems(host("quay.example.com", database_host=url))
    assert "'postgresql://…@db.example.com/quay'" in problem


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pull_secret", '{"auths": {"quay.io": {"auth": "aHVudGVyMg=="}}}'),
        ("pull_secret", {"auths": {"quay.io": {"auth": "aHVudGVyMg=="}}}),
        ("tls_key", "-----BEGIN EC KEY-----\naHVudGVyMg==\n-----END EC KEY-----"),
        ("ssh_pub_key", "-----BEGIN OPENSSH PRIVATE KEY----- aHVudGVyMg=="),
    ],
)
def test_a_files_content_in_place_of_its_path_is_not_shown(key: str, value: object) -> None:
    data: dict[str, Any] = {key: value}
    problems = _problems(host("quay.example.com", **data))
    assert any(f"{key}: what looks like a file's content: " in problem for problem in problems)
    assert "aHVudGVyMg" not in "".join(problems)


@pytest.mark.parametrize(
    "key", ["minimum_disk_mb", "minimum_memory_mb", "openshift_memory_mb", "ceph_quota_gb"]
)
def test_a_size_that_no_machine_has(key: str) -> None:
    data: dict[str, Any] = {key: 10**10}
    (problem,) = _problems(host("quay.example.com", **data))
    assert problem.startswith(f"{key}: {10**10}: it should be less than or equal to ")


def test_a_key_that_is_not_unicode() -> None:
    """As --data has it if the terminal's encoding is another one."""
    data: dict[str, Any] = {"server\udcff": 1, "redis_port": 0}
    problem, other = _problems(host("quay.example.com", **data))
    assert problem == (
        "'server\\udcff': no such setting, and not UTF-8; group_data/all.py lists all settings"
    )
    assert other.startswith("redis_port: ")


def test_number_that_is_too_long_to_be_shown() -> None:
    (problem,) = _problems(host("quay.example.com", redis_port=10**5000))
    assert problem.startswith("redis_port: a number of thousands of digits: ")


def test_paths_that_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        (problem,) = _problems(host("quay.example.com", image_archive=str(path)))
        assert "is a folder, a pipe or a device; name a file" in problem
    (problem,) = _problems(host("quay.example.com", pull_secret="/proc/self/mem"))
    assert "pull_secret: '/proc/self/mem': can't be read: Input/output error" in problem


@pytest.mark.parametrize("host_of_url", ["k:99999", "k:0", "[::::]", "a..b", "999.1.1.1"])
@pytest.mark.parametrize("key", ["swift_auth_url", "https_proxy"])
def test_url_with_an_invalid_host(key: str, host_of_url: str) -> None:
    (problem,) = _problems(host("quay.example.com", **{key: f"http://{host_of_url}"}))
    assert problem.startswith(f"{key}: ")


@pytest.mark.parametrize(
    "name", ["node3", "Node_3.example.com", "192.0.2.13", "@ssh/node3", "_ssh_node3"]
)
def test_a_host_is_forgotten_by_its_name_in_the_inventory_or_the_cluster(name: str) -> None:
    assert settings(forget=name).forget == name


@pytest.mark.parametrize("name", ["", "-rf", "a b", "a;b", "$(id)"])
def test_what_is_no_hosts_name_is_not_forgotten(name: str) -> None:
    (problem,) = _problems(host("quay.example.com", forget=name))
    assert "for example node3.example.com" in problem

"""How fast Quaylab is, beside a shell script and beside Ansible. README.md tells what and why."""

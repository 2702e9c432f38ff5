"""Operations on a host itself: files, disks, firewall, names, certificates, subscription."""

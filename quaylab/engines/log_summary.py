"""The lines of a container's log that explain why it is not healthy."""

from __future__ import annotations

# How many lines are read: enough for several starts of Quay.
LINES = 3000

# An awk program, as any host has awk. It prints the last three different complaints of each service
# in the container (Quay's log has the service's name at the start of a line), then the last ten
# lines. A service that restarts again and again would otherwise fill the summary.
SUMMARY = r"""
{
    line = substr($0, 1, 300)
    last[NR % 10] = line
    low = tolower(line)
    if (low ~ /[[ ](info|debug)[] ]/) next
    if (low !~ /emerg|crit|error|fatal|panic|exception|refused|denied|could not|cannot/) next
    service = match(line, /^[a-z0-9_-]+ std(out|err) \|/) ? substr(line, 1, RLENGTH) : ""
    words = line
    gsub(/[0-9]+/, "", words)
    if (words in seen) next
    seen[words] = 1
    if (!(service in count)) order[++services] = service
    complaint[service, count[service]++ % 3] = line
}
END {
    for (i = 1; i <= services; i++)
        for (j = count[order[i]] - 3; j < count[order[i]]; j++)
            if (j >= 0) print complaint[order[i], j % 3]
    if (services) print "its last lines:"
    for (i = NR - 9; i <= NR; i++) if (i >= 1) print last[i % 10]
}
"""

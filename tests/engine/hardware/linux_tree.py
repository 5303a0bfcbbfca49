"""Files as Linux writes them about control groups, in a folder that stands for the root."""


def write_groups(root, groups, **files):
    """Write /proc/self/cgroup and files of groups; in their names ``__`` stands for a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root

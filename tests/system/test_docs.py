# SPDX-License-Identifier: Apache-2.0
"""The examples of README and the example configurations are true: `console` blocks are run."""
import os
import re
import shutil

import pytest

from harness import BIN, need, run, shell
from images import ROOT


def consoles(text, mark=""):
    """[(command, expected output)] of every ```console block, or of those with this mark."""
    steps = []
    for block in re.findall(rf"^```console{mark}\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                steps.append([line[2:].rstrip("\n"), ""])
            else:
                steps[-1][1] += line
    return steps


@pytest.mark.parametrize("mark, config", [("", None), (" four", "cards: [{name: four, backend: sim, slots: 4}]")])
def test_the_consoles_of_readme_say_what_really_happens(fpga, mark, config):
    fabric = fpga(sim=None if config else 1, config=config)
    steps = consoles((ROOT / "README.md").read_text(), mark)
    assert len(steps) > 5
    for command, expected in steps:
        done = shell(command.replace("/fpga", str(fabric.mount)), cwd=ROOT, env=dict(os.environ, LC_ALL="C"))
        told = (done.stdout + done.stderr).replace(str(fabric.mount), "/fpga").rstrip("\n")
        assert told == expected.rstrip("\n"), command
        assert (done.returncode == 0) == (not expected.startswith("cp: ")), command


def verbatim(pod):
    """Paragraphs of a pod page that stand as they are, without their indent."""
    blocks = re.findall(r"(?:^ {4}.*\n)+", (ROOT / pod).read_text(), re.M)
    return [re.sub(r"^ {4}", "", block, flags=re.M) for block in blocks]


def test_the_examples_of_the_page_of_the_tree_say_what_really_happens(fpga):
    need("getfattr")
    fabric = fpga(sim=1)
    steps = consoles("".join(f"```console\n{block}```\n" for block in verbatim("fs/tree/fabricfs-tree.7.pod")))
    assert len(steps) > 12
    for command, expected in steps:
        done = shell(command.replace("/fpga", str(fabric.mount)), cwd=ROOT, env=dict(os.environ, LC_ALL="C"))
        told = (done.stdout + done.stderr).replace(str(fabric.mount), "/fpga").rstrip("\n")
        assert told == expected.rstrip("\n"), command


def test_every_file_of_a_card_is_in_the_page_of_the_tree(fpga):
    fabric = fpga(sim=1)
    page = (ROOT / "fs/tree/fabricfs-tree.7.pod").read_text()
    told = set(re.findall(r"F<([^>]*)>", page))
    told |= {word for many in told for word in many.split()}
    coming = {"lease", "fits", "nodes", "remote"}  # README, "What is not there yet"
    for folder in (fabric.mount, fabric.card().dir, fabric.card().dir / "loaded"):
        for entry in os.scandir(folder):
            name = entry.name + ("/" if entry.is_dir() and folder != fabric.card().dir / "loaded" else "")
            assert name in told or entry.name in coming, f"{folder}/{name}"


def yaml_blocks(text):
    return re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)


def check_config(path):
    return run([str(BIN), "check-config", str(path)])


@pytest.mark.parametrize("name", ["contrib/fabricfs.yaml.example", "contrib/examples/icestick.yaml"])
def test_an_example_configuration_is_taken(name):
    done = check_config(ROOT / name)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{ROOT / name}: 1 card\n"


def test_what_the_example_configuration_has_in_comments_is_taken(tmp_path):
    text = (ROOT / "contrib/fabricfs.yaml.example").read_text()
    told, taken = re.subn(r"^# ((?:repositories|cache):|  \w+: \{)", r"\1", text, flags=re.M)
    assert taken >= 5
    (tmp_path / "f.yaml").write_text(told)
    done = check_config(tmp_path / "f.yaml")
    assert done.returncode == 0, done.stderr
    # What is misspelt there would be told.
    (tmp_path / "f.yaml").write_text(told.replace("offline-timeout", "oflin-timeout"))
    assert "oflin-timeout" in check_config(tmp_path / "f.yaml").stderr


def test_the_configurations_of_readme_and_man_page_are_taken(tmp_path):
    pod = (ROOT / "fs" / "daemon" / "fabricfs.8.pod").read_text()
    section = pod.split("=head1 FABRICFS.YAML")[1].split("=head1")[0]
    example = "".join(line[4:] + "\n" for line in section.splitlines() if line.startswith("    "))
    blocks = yaml_blocks((ROOT / "README.md").read_text()) + [example]
    assert len(blocks) >= 2 and all("cards:" in b for b in blocks)
    page = verbatim("fs/daemon/fabricfs.yaml.5.pod")
    assert len(page) >= 5
    for text in blocks + page:
        (tmp_path / "f.yaml").write_text(text)
        done = check_config(tmp_path / "f.yaml")
        assert done.returncode == 0, done.stderr


def test_check_config_tells_who_is_unknown_here(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("access: {owner: root, group: no-such-group}\n"
                    "cards:\n  - {name: a, backend: sim, access: {owner: no-such-user, group: '7'}}\n")
    done = check_config(path)
    assert done.returncode == 0 and done.stdout == f"{path}: 1 card\n"
    assert done.stderr.splitlines() == [
        f"{path}: access: this machine has no group no-such-group; the files would belong to group 0",
        f"{path}: access of card 'a': this machine has no user no-such-user; the files would belong to who mounts"]


def test_check_config_tells_which_files_of_repositories_are_not_here(tmp_path):
    path, clouds = tmp_path / "f.yaml", tmp_path / "clouds.yaml"
    clouds.write_text("clouds: {lab: {auth: {auth_url: 'https://x/v3', username: u, project_name: p, password: s}}}\n")
    clouds.chmod(0o600)
    path.write_text(f"repositories:\n  good: {{kind: glance, cloud: lab, clouds-file: {clouds}}}\n"
                    f"  bad: {{kind: glance, cloud: lba, clouds-file: {clouds}}}\n"
                    f"  web: {{kind: http, url: 'https://x/', cacert: {tmp_path}/none.pem}}\n")
    done = check_config(path)
    assert done.returncode == 0 and done.stdout == f"{path}: 0 cards, 3 repositories\n"
    assert done.stderr.splitlines() == [
        f"{path}:3: repository 'bad': {clouds} has no cloud 'lba'; it has lab; here it would not be mounted",
        f"{path}:4: repository 'web': cacert {tmp_path}/none.pem: No such file or directory; "
        "here it would not be mounted"]


def test_check_config_tells_of_a_quota_without_its_unit(tmp_path):
    path = tmp_path / "f.yaml"
    for quota, told in (("20", 1), ("20GiB", 0)):
        path.write_text(f"repositories:\n  a: {{kind: directory, path: {tmp_path}}}\ncache: {{quota: {quota}}}\n")
        done = check_config(path)
        assert done.returncode == 0 and done.stderr.count("a quota of 20 bytes holds no part of an image") == told


def test_install_and_uninstall_leave_nothing_behind(tmp_path):
    root = tmp_path / "root"
    for target in ("install", "uninstall"):
        done = run(["make", "-s", "-C", str(ROOT), target, f"DESTDIR={root}", "prefix=/usr"])
        assert done.returncode == 0, done.stderr
        files = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
        if target == "uninstall":
            assert not files
            break
        assert "usr/bin/fabricfs" in files and "usr/share/man/man8/fabricfs.8" in files
        # the program holds the fabric's database, whose licence wants its notice with every copy
        assert {"usr/share/doc/fabricfs/LICENSE", "usr/share/doc/fabricfs/LICENSE.icestorm"} <= set(files)
        assert "usr/share/man/man5/fabricfs.yaml.5" in files and "usr/share/man/man7/fabricfs-tree.7" in files
        done = run([str(root / "usr/bin/fabricfs"), "--version"])
        assert done.stdout.startswith("fabricfs ")
        unit = (root / "usr/lib/systemd/system/fabricfs.service").read_text()
        assert "\nExecStart=/usr/bin/fabricfs -f /fpga\n" in unit


def test_every_word_of_completion_is_an_option():
    text = (ROOT / "contrib" / "completion" / "fabricfs.bash").read_text()
    assert shutil.which("bash")
    done = run([str(BIN), "--help"])
    line = re.search(r'\*\) words="([^"]*)"', text).group(1)
    for word in line.split():
        assert word in done.stdout, word

"""What is under deploy/, held against the tools that read it and against what the program says of itself."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BINARY = pathlib.Path(os.environ.get("RELAYD_BINARY", ROOT / ".build/release/relayd")).resolve()
# The exposure that `systemd-analyze security` calls OK ends here, in tenths.
MOST_EXPOSURE = 50


def run(*command: str | pathlib.Path, **more) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **more)


def need(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed here")


# The Debian package


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> pathlib.Path:
    need("dpkg-deb")
    made = run(ROOT / "scripts/package-deb", BINARY, tmp_path_factory.mktemp("package"))
    assert made.returncode == 0, made.stderr
    return pathlib.Path(made.stdout.strip())


@pytest.fixture(scope="session")
def unpacked(package, tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("root")
    assert run("dpkg-deb", "--extract", package, folder).returncode == 0
    return folder


def test_lintian_finds_nothing(package):
    need("lintian")
    # As root it warns about itself.
    found = run("lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", package)
    assert found.returncode == 0 and not found.stdout.strip(), found.stdout + found.stderr


def test_the_package_holds_what_the_service_needs(package, unpacked):
    version = run(BINARY, "--version").stdout.split()[1]
    assert run("dpkg-deb", "--field", package, "Version").stdout.strip() == version
    assert run(unpacked / "usr/bin/relayd", "--version").stdout == run(BINARY, "--version").stdout
    depends = run("dpkg-deb", "--field", package, "Depends").stdout
    assert "libc6 (>= " in depends and "libstdc++6" in depends, depends
    names = set(tarfile.open(fileobj=subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE).stdout, mode="r|").getnames())
    for name in ("etc/relayd/relayd.yaml", "lib/systemd/system/relayd.service", "usr/lib/sysusers.d/relayd.conf",
                 "usr/share/man/man8/relayd.8.gz"):
        assert f"./{name}" in names, names
    checked = run("md5sum", "--check", "--quiet", "-", input=run("dpkg-deb", "--info", package, "md5sums").stdout,
                  cwd=unpacked)
    assert checked.returncode == 0, checked.stdout


def test_whoever_hands_the_package_on_maintains_it(package, tmp_path):
    assert run("dpkg-deb", "--field", package, "Maintainer").stdout.strip().endswith("@relayd.invalid>")
    named = os.environ | {"DEBFULLNAME": "R&D / Relays", "DEBEMAIL": "relays@north.example"}
    made = run(ROOT / "scripts/package-deb", BINARY, tmp_path, env=named)
    assert made.returncode == 0, made.stderr
    field = run("dpkg-deb", "--field", made.stdout.strip(), "Maintainer").stdout.strip()
    assert field == "R&D / Relays <relays@north.example>"


def test_the_same_tree_gives_the_same_package(package, tmp_path):
    again = run(ROOT / "scripts/package-deb", BINARY, tmp_path)
    assert pathlib.Path(again.stdout.strip()).read_bytes() == package.read_bytes()


def test_the_packaged_configuration_needs_credentials_and_nothing_else(unpacked):
    file = unpacked / "etc/relayd/relayd.yaml"
    refused = run(BINARY, "check", "--config", file, env={})
    assert refused.returncode == 78 and "no credentials" in refused.stderr
    assert run(BINARY, "check", "--config", file, "--user", "alice:secret", env={}).returncode == 0


# systemd


def test_the_unit_is_valid(unpacked):
    need("systemd-analyze")
    # The rest of the system that the unit names.
    (unpacked / "bin").mkdir(exist_ok=True)
    shutil.copy("/bin/kill", unpacked / "bin/kill")
    found = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root", unpacked,
                "relayd.service")
    own = [line for line in (found.stdout + found.stderr).splitlines() if "relayd" in line]
    assert not own, own


def exposure(unit: pathlib.Path) -> int:
    rated = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    overall = re.search(r"Overall exposure level for \S+: (\d+)\.(\d)", rated.stdout)
    assert overall, rated.stdout + rated.stderr
    return int(overall[1]) * 10 + int(overall[2])


def test_the_unit_is_hardened():
    need("systemd-analyze")
    assert exposure(DEPLOY / "systemd/relayd.service") <= MOST_EXPOSURE


def test_the_unit_grants_one_capability():
    unit = (DEPLOY / "systemd/relayd.service").read_text()
    granted = re.findall(r"^(\w+)=(CAP_.*)$", unit, re.MULTILINE)
    assert granted == [("AmbientCapabilities", "CAP_NET_RAW"), ("CapabilityBoundingSet", "CAP_NET_RAW")]


def test_the_user_can_be_made(tmp_path):
    need("systemd-sysusers")
    folder = tmp_path / "usr/lib/sysusers.d"
    folder.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    shutil.copy(DEPLOY / "systemd/relayd.sysusers", folder / "relayd.conf")
    made = run("systemd-sysusers", "--root", tmp_path, "relayd.conf")
    assert made.returncode == 0, made.stderr
    assert re.search(r"^relayd:\S*:\d+:\d+:.*:/nonexistent:/usr/sbin/nologin$", (tmp_path / "etc/passwd").read_text(), re.M)


# The manual


def test_the_manual_is_well_formed():
    need("groff")
    page = run("groff", "-man", "-Tutf8", "-ww", "-z", DEPLOY / "man/relayd.8")
    assert page.returncode == 0 and not page.stderr, page.stderr
    need("mandoc")
    lint = run("mandoc", "-T", "lint", "-W", "warning", DEPLOY / "man/relayd.8")
    assert not lint.stdout, lint.stdout


# Containers


def dockerfile() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (DEPLOY / "docker/Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def test_the_image_is_small_unprivileged_and_complete():
    steps = dockerfile()
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "ENV", "ENTRYPOINT"}
    assert {name for name, _ in steps} <= known
    stages = [rest for name, rest in steps if name == "FROM"]
    assert len(stages) == 2 and stages[0].endswith(" AS build") and "distroless" in stages[1]
    assert all(":" in stage and ":latest" not in stage for stage in stages), "images have a version"
    last = steps[[name for name, _ in steps].index("FROM", 1):]
    user = next(rest for name, rest in last if name == "USER")
    assert user.split(":")[0].isdigit() and int(user.split(":")[0]) > 0
    assert json.loads(next(rest for name, rest in last if name == "ENTRYPOINT")) == ["/usr/bin/relayd"]
    assert not [rest for name, rest in last if name == "RUN"], "the last stage has no shell"
    for name, rest in steps:
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
    ignored = (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines()
    copied = {rest.split()[0] for name, rest in steps if name == "COPY" and not rest.startswith("--from")}
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_the_image_builds_with_the_packages_that_the_makefile_names():
    makefile = re.sub(r"\\\n", " ", (ROOT / "Makefile").read_text())
    wanted = set(re.search(r"^BUILD_PACKAGES := (.*)$", makefile, re.M)[1].split())
    # What the base image of Swift brings.
    wanted -= {"ca-certificates", "git", "libc6-dev", "libstdc++-12-dev"}
    installed = next(rest for name, rest in dockerfile() if name == "RUN" and "apt-get install" in rest)
    assert wanted <= set(installed.split()), wanted - set(installed.split())


# Kubernetes


def manifests() -> dict[str, dict]:
    texts = {path.name: path.read_text() for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    return {name: yaml.safe_load(text) for name, text in texts.items()}


def test_the_kustomization_names_what_is_there():
    files = manifests()
    base = files["kustomization.yaml"]
    named = base["resources"] + [file for maps in base["configMapGenerator"] for file in maps["files"]]
    assert sorted(named + ["kustomization.yaml"]) == sorted(files)
    for name in base["resources"]:
        assert {"apiVersion", "kind", "metadata"} <= files[name].keys(), name
    need("kubectl")
    built = run("kubectl", "kustomize", DEPLOY / "kubernetes")
    assert built.returncode == 0, built.stderr


def test_the_pod_relays_on_the_host_unprivileged_and_drains():
    pod = manifests()["daemonset.yaml"]["spec"]["template"]["spec"]
    container, = pod["containers"]
    assert pod["hostNetwork"] is True and pod["securityContext"]["runAsNonRoot"] is True
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW"]} and security["readOnlyRootFilesystem"]
    assert "privileged" not in security
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    minutes = int(environment["RELAYD_DRAIN_TIMEOUT"].removesuffix("m"))
    assert minutes * 60 < pod["terminationGracePeriodSeconds"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_pods_configuration_is_good(tmp_path):
    files = manifests()
    configuration = files["relayd.yaml"]
    container, = files["daemonset.yaml"]["spec"]["template"]["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        request = container[probe]["httpGet"]
        assert configuration["http"] == f"{request['host']}:{request['port']}"
    secret = tmp_path / "auth-secret"
    secret.write_text("north\n")
    secret.chmod(0o440)
    configuration["auth-secret-file"] = str(secret)
    file = tmp_path / "relayd.yaml"
    file.write_text(yaml.safe_dump(configuration))
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    checked = run(BINARY, "check", "--config", file, env=environment)
    assert checked.returncode == 0, checked.stderr
    # What check prints is YAML to others as well.
    assert yaml.safe_load(checked.stdout)["realm"] == configuration["realm"]


# Monitoring


def test_the_alerts_are_rules():
    group, = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names)) >= 8
    for rule in group["rules"]:
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys(), rule
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert {"summary", "description"} <= rule["annotations"].keys()
        for opening, closing in ("()", "[]", "{}"):
            assert rule["expr"].count(opening) == rule["expr"].count(closing), rule["expr"]
    need("promtool")
    checked = run("promtool", "check", "rules", DEPLOY / "prometheus/alerts.yml")
    assert checked.returncode == 0, checked.stderr


def test_the_dashboard_is_whole():
    board = json.loads((DEPLOY / "grafana/relayd.json").read_text())
    variables = {variable["name"] for variable in board["templating"]["list"]}
    places = set()
    for panel in board["panels"]:
        assert panel["title"] and panel["targets"] and panel["fieldConfig"]["defaults"]["unit"]
        place = (panel["gridPos"]["x"], panel["gridPos"]["y"])
        assert place not in places, "two panels in one place"
        places.add(place)
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables, used
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


# Documentation


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name)
def test_options_in_the_documentation_exist(page):
    """Every `--flag` of a relayd command line is one that the program knows."""
    commands = ("run", "check", "doctor", "credentials", "migrate", "options", "status", "plane")
    known = set(re.findall(r"--[a-z0-9-]+", "".join(run(BINARY, command, "--help").stdout for command in commands)))
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    for line in re.findall(r"^.*?\brelayd ((?:[a-z-]+ )*--.*)$", text, re.MULTILINE):
        command = line.split("`")[0]
        for flag in re.findall(r"(?<!\S)--[a-z0-9-]+", command):
            assert flag in known, f"{page.name}: {flag}"


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name)
def test_configurations_in_the_documentation_are_good(page, tmp_path):
    """Blocks of YAML that are a relay's configuration, with the files that they name made up."""
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)):
        parsed = yaml.safe_load(block)
        if not isinstance(parsed, dict) or "realm" not in parsed:
            continue
        if "auth-secret-file" in parsed:
            secret = tmp_path / "secret"
            secret.write_text("north\n")
            secret.chmod(0o400)
            parsed["auth-secret-file"] = str(secret)
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(parsed))
        checked = run(BINARY, "check", "--config", file, env={})
        assert checked.returncode == 0, f"{page.name}:\n{block}\n{checked.stderr}"

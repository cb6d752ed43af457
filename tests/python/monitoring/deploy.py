"""What is in `deploy/`, `Dockerfile`, `docker-compose.yml` and the workflow, without running any of it: against the schemas
of those who read it, and against the program, whose settings, commands and flags they name."""

import json
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
WIRE = "TIDELINE_POSTGRES_LISTEN"


def run(*command: str | Path, **more) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def documents(path: Path) -> list[dict]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def settings(tideline: Path) -> set[str]:
    """Every setting by its name in the environment."""
    shown = json.loads(run(tideline, "config", "--json", cwd=tempfile.gettempdir()))
    known = {setting["env"] for setting in shown.values()}
    if WIRE not in known:
        print(f"this build has no Postgres wire: {WIRE} was not checked")
    return known | {WIRE}


def check_names(where: str, named: set[str], known: set[str]) -> None:
    # The key of a client is no setting of the server.
    unknown = named - known - {"TIDELINE_KEY"}
    assert not unknown, f"{where} names settings that there are not: {sorted(unknown)}"


def prometheus() -> list[str]:
    """Rules, their unit tests, the configuration. The names of the alerts."""
    rules, tests = sorted(DEPLOY.glob("prometheus/rules/*.yml")), sorted(DEPLOY.glob("prometheus/tests/*.yml"))
    print(run("promtool", "check", "rules", *rules).strip().splitlines()[-1])
    run("promtool", "test", "rules", *tests)
    alerts = []
    for group in documents(rules[0])[0]["groups"]:
        for rule in group["rules"]:
            alerts.append(rule["alert"])
            assert set(rule["annotations"]) == {"summary", "impact", "action"}, rule["alert"]
            assert rule["labels"]["severity"] in ("info", "warning", "critical"), rule["alert"]
    expected = " ".join(path.read_text().split("promql_expr_test", 1)[1] for path in tests)
    untested = [name for name in alerts if name not in expected]
    assert not untested, f"no unit test expects {untested}"
    with tempfile.TemporaryDirectory() as folder:
        # As it will stand in its container, with a key where it looks for one.
        shutil.copytree(DEPLOY / "prometheus", folder, dirs_exist_ok=True)
        key = Path(folder, "key")
        key.write_text("tl_x")
        config = Path(folder, "prometheus.yml")
        config.write_text(config.read_text().replace("/keys/monitoring", str(key)))
        run("promtool", "check", "config", config)
    return alerts


def grafana() -> None:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "make.py")
        script.write_text((DEPLOY / "grafana/make.py").read_text())
        Path(folder, "dashboards").mkdir()
        run(sys.executable, script)
        for made in sorted(Path(folder, "dashboards").glob("*.json")):
            kept = DEPLOY / "grafana/dashboards" / made.name
            assert kept.read_text() == made.read_text(), f"{kept} is not what make.py makes: run deploy/grafana/make.py"
    sources = {s["uid"]: s["type"] for s in documents(DEPLOY / "grafana/provisioning/datasources/tideline.yml")[0]["datasources"]}
    titles = {}
    for path in sorted(DEPLOY.glob("grafana/dashboards/*.json")):
        dashboard = json.loads(path.read_text())
        titles[dashboard["title"]] = dashboard["refresh"]
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                source = target["datasource"]
                assert sources.get(source["uid"]) == source["type"], f"{path.name}: {panel['title']}: {source}"
    assert titles["E-Commerce Analytics"] == "10s", titles


def compose(tideline: Path, known: set[str]) -> dict:
    path = ROOT / "docker-compose.yml"
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        run("docker", "compose", "--profile", "gen", "config", "--quiet", cwd=ROOT)
    else:
        print("`docker compose` is not here: docker-compose.yml was held against the schema and the program only")
    file = documents(path)[0]
    services = file["services"]
    assert {"tideline", "redis", "redis-exporter", "prometheus", "grafana", "generator"} <= set(services)
    assert services["generator"]["profiles"] == ["gen"]
    for name, service in services.items():
        for other in service.get("depends_on", []):
            assert other in services, f"{name} depends on {other}"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (ROOT / source).exists() if source.startswith(".") else source in file["volumes"]
            assert there, f"{name}: {source} is not there"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to others"
        check_names(f"docker-compose.yml: {name}", {k for k in service.get("environment", {}) if k.startswith("TIDELINE_")}, known)
    command = services["generator"]["command"][0]
    unknown = flags(command) - flags(run(tideline, "traffic", "--help"))
    assert not unknown, f"tideline traffic has no {unknown}"
    return services


def dockerfile() -> None:
    text = (ROOT / "Dockerfile").read_text()
    rust = re.search(r'^rust-version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    assert f"FROM rust:{rust}-" in text, f"the image is built with another Rust than {rust}"
    stages = re.findall(r"^FROM \S+ AS (\w+)", text, re.M)
    assert set(re.findall(r"--from=(\w+)", text)) == set(stages), stages
    last = text[text.rindex("FROM "):]
    assert re.search(r"^USER 10001", last, re.M) and "HEALTHCHECK" in last and "curl" not in last
    assert 'CMD ["tideline", "health"]' in last


def kubernetes(known: set[str]) -> dict[str, dict]:
    files = sorted(DEPLOY.glob("kubernetes/*/*.yaml"))
    # Not Kubernetes' own: kustomize reads one, an operator brings the other.
    foreign = {"kustomization.yaml", "service-monitor.yaml"}
    # Strict refuses what the schema does not know, misspelt fields among it.
    checked = run(BIN / "kubernetes-validate", "--strict", *[path for path in files if path.name not in foreign])
    assert "ERROR" not in checked, checked
    for path in DEPLOY.glob("kubernetes/*/kustomization.yaml"):
        for name in documents(path)[0]["resources"]:
            assert (path.parent / name).exists(), f"{path}: {name}"
    resources = {f"{d['kind']} {d['metadata']['name']}": d for p in files if p.name != "kustomization.yaml" for d in documents(p)}
    labels = {"app.kubernetes.io/name": "tideline"}
    pods = resources["StatefulSet tideline"]["spec"]
    assert pods["selector"]["matchLabels"] == labels == pods["template"]["metadata"]["labels"]
    assert f"Service {pods['serviceName']}" in resources
    for name, resource in resources.items():
        selector = resource["spec"].get("selector") if "spec" in resource else None
        if resource["kind"] in ("Service", "PodDisruptionBudget"):
            assert (selector.get("matchLabels", selector)) == labels, name
    monitor = resources["ServiceMonitor tideline"]["spec"]["selector"]["matchLabels"]
    assert monitor.items() <= resources[f"Service {pods['serviceName']}"]["metadata"]["labels"].items()
    spec = pods["template"]["spec"]
    container = spec["containers"][0]
    configured = resources["ConfigMap tideline"]["data"]
    check_names("the ConfigMap", set(configured) | {e["name"] for e in container["env"]}, known)
    seconds = lambda text: int(re.fullmatch(r"(\d+)s", text)[1])
    takes = seconds(configured["TIDELINE_HTTP_DRAIN_TIMEOUT"]) + seconds(configured["TIDELINE_HTTP_CLOSE_TIMEOUT"])
    assert spec["terminationGracePeriodSeconds"] > takes + 5, "the pod is killed before its log is drained"
    for user in (spec["containers"] + spec["initContainers"]):
        context = user["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], user["name"]
    assert spec["securityContext"]["runAsNonRoot"]
    return {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}


def systemd(tideline: Path, known: set[str]) -> None:
    text = (DEPLOY / "systemd/tideline.service").read_text()
    check_names("the systemd unit", set(re.findall(r"^Environment=(TIDELINE_\w+)", text, re.M)), known)
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not here: the unit was not verified")
        return
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder, "tideline.service")
        unit.write_text(text.replace("/usr/local/bin/tideline", str(tideline)))
        said = run("systemd-analyze", "verify", "--man=no", unit)
        assert "tideline.service" not in said, said
        run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit)


def workflow() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        run(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)
        text = path.read_text()
        made = set(re.findall(r"(?:run: |&& |^ +)make ([a-z-]+)", text, re.M))
        assert made <= targets, f"{path.name}: there is no make target {sorted(made - targets)}"
        for name in re.findall(r"(?:file|path): (\S+)", text):
            if "/" in name and not name.startswith(("target/", "/", "$")):
                assert (ROOT / name).exists(), f"{path.name}: {name}"
    assert "make test" in (ROOT / ".github/workflows/ci.yml").read_text()


def everything(tideline: Path) -> dict:
    """Checks all of it; what the live part goes on with."""
    known = settings(tideline)
    assert len(known) > 50, known
    alerts = prometheus()
    grafana()
    services = compose(tideline, known)
    dockerfile()
    probes = kubernetes(known)
    systemd(tideline, known)
    workflow()
    print(f"deploy: {len(alerts)} alerts with unit tests, dashboards, image, compose, kubernetes, systemd and workflows are sound")
    return {"alerts": alerts, "services": services, "probes": probes}

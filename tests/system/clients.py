"""The providers' official clients against the sandbox: every call that pilotlight makes has to satisfy them.

The daemon is run through an outage first and the sandbox's journal read; at the end the clients must have made each of those
calls, so that a new call of the daemon's without a client beside it fails here.
"""

import datetime
import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import cloudflare
import google.auth.transport.requests
import requests
from cloudflare.types.rulesets.rule_edit_response import Ruleset as EditedRuleset
from google.api_core import exceptions
from google.auth import compute_engine
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports.rest import ServicesRestTransport
from google.iam.v1 import iam_policy_pb2, options_pb2
from google.oauth2 import service_account
from googleapiclient import discovery

PATIENCE_SECS = 60
CONTROL = os.environ["CONTROL"]
DIRECTORY = Path(os.environ["SANDBOX_DIR"])
CONFIG = tomllib.loads(Path(os.environ["CONFIG"]).read_text())
GOOGLE = CONFIG["google"]["sandbox"]
SITE = CONFIG["site"]["site"]
GATE = SITE["gate"]
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
SERVICE = f"projects/{GATE['project']}/locations/{GATE['region']}/services/{GATE['service']}"
INVOKER = "roles/run.invoker"

CHECKS: list[Callable[[], None]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS.append(function)
    return function


def control(method: str, path: str) -> object:
    answer = requests.request(method, CONTROL + path, timeout=10)
    answer.raise_for_status()
    return answer.json()


def key_file_credentials() -> service_account.Credentials:
    return service_account.Credentials.from_service_account_file(GOOGLE["key_file"], scopes=SCOPES)


def self_signed(audience: str) -> service_account.Credentials:
    """As pilotlight does it: no token request at all."""
    credentials = service_account.Credentials.from_service_account_file(GOOGLE["key_file"])
    credentials = credentials.with_always_use_jwt_access(True)
    credentials._create_self_signed_jwt(audience)  # noqa: SLF001: Google's own clients call it just so
    return credentials


def google_api(name: str, version: str, url: str, credentials: object) -> discovery.Resource:
    return discovery.build(
        name,
        version,
        credentials=credentials,
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": url},
    )


def run_api() -> discovery.Resource:
    return google_api("run", "v2", GOOGLE["run_url"], key_file_credentials()).projects().locations().services()


def monitoring_api() -> discovery.Resource:
    credentials = self_signed("https://monitoring.googleapis.com/")
    return google_api("monitoring", "v3", GOOGLE["monitoring_url"], credentials).projects()


def members(policy: dict) -> set[str]:
    bindings = [binding for binding in policy.get("bindings", []) if binding["role"] == INVOKER]
    return {member for binding in bindings if "condition" not in binding for member in binding["members"]}


def open_to_all(policy: dict) -> dict:
    """The policy with one member more, everything else as it was."""
    policy = json.loads(json.dumps(policy))
    for binding in policy.setdefault("bindings", []):
        if binding["role"] == INVOKER and "condition" not in binding:
            binding["members"].append("allUsers")
            return policy
    policy["bindings"].append({"role": INVOKER, "members": ["allUsers"]})
    return policy


@check
def tokens_from_the_key_file_and_from_the_metadata_server() -> None:
    for credentials in (key_file_credentials(), compute_engine.Credentials()):
        credentials.refresh(google.auth.transport.requests.Request())
        assert credentials.token and credentials.valid, type(credentials)
    answer = requests.get(
        f"{GOOGLE['run_url']}/v2/{SERVICE}:getIamPolicy?options.requestedPolicyVersion=3",
        headers={"authorization": f"Bearer {credentials.token}"},
        timeout=10,
    )
    assert answer.ok and answer.json()["etag"], answer.text


@check
def run_by_discovery() -> None:
    services = run_api()
    service = services.get(name=SERVICE).execute()
    assert service["name"] == SERVICE, service
    assert service["terminalCondition"]["state"] == "CONDITION_SUCCEEDED", service
    wanted = ["run.services.getIamPolicy", "run.services.setIamPolicy"]
    held = services.testIamPermissions(resource=SERVICE, body={"permissions": wanted}).execute()
    assert set(held["permissions"]) == set(wanted), held

    before = services.getIamPolicy(resource=SERVICE, options_requestedPolicyVersion=3).execute()
    assert "allUsers" not in members(before), before
    after = services.setIamPolicy(resource=SERVICE, body={"policy": open_to_all(before)}).execute()
    assert members(after) == members(before) | {"allUsers"}, after
    assert after["etag"] != before["etag"]
    assert control("GET", "/state")["sites"]["site"]["gate"]["configured"] is True


@check
def run_by_discovery_refuses_an_old_etag() -> None:
    services = run_api()
    policy = services.getIamPolicy(resource=SERVICE, options_requestedPolicyVersion=3).execute()
    try:
        services.setIamPolicy(resource=SERVICE, body={"policy": {**policy, "etag": "BwXAAAAAAAA="}}).execute()
    except discovery.HttpError as error:
        assert error.status_code == 409, error
        assert json.loads(error.content)["error"]["status"] == "ABORTED", error.content
    else:
        raise AssertionError("a stale etag was taken")


@check
def run_by_its_rest_transport() -> None:
    host = GOOGLE["run_url"].removeprefix("http://")
    transport = ServicesRestTransport(host=host, url_scheme="http", credentials=key_file_credentials())
    client = run_v2.ServicesClient(transport=transport)
    service = client.get_service(name=SERVICE)
    assert service.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED, service
    options = options_pb2.GetPolicyOptions(requested_policy_version=3)
    asked = iam_policy_pb2.GetIamPolicyRequest(resource=SERVICE, options=options)
    policy = client.get_iam_policy(request=asked)
    invokers = next(binding for binding in policy.bindings if binding.role == INVOKER and not binding.condition.expression)
    assert "allUsers" in invokers.members, policy
    invokers.members.remove("allUsers")
    if not invokers.members:
        policy.bindings.remove(invokers)
    written = client.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=SERVICE, policy=policy))
    assert not any("allUsers" in binding.members for binding in written.bindings), written
    assert control("GET", "/state")["sites"]["site"]["gate"]["configured"] is False
    try:
        client.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=SERVICE, policy=policy))
    except exceptions.Conflict:
        pass
    else:
        raise AssertionError("the etag of before the write was taken")


@check
def snoozes_by_discovery() -> None:
    snoozes = monitoring_api().snoozes()
    silence = SITE["silence"][0]
    project = f"projects/{silence['project']}"
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    later = now + datetime.timedelta(hours=1)
    body = {
        "displayName": "the system suite",
        "criteria": {"policies": [f"{project}/alertPolicies/{silence['alert_policy']}"]},
        "interval": {"startTime": zulu(now), "endTime": zulu(later)},
    }
    made = snoozes.create(parent=project, body=body).execute()
    listed = snoozes.list(parent=project, pageSize=500).execute()["snoozes"]
    assert made["name"] in [snooze["name"] for snooze in listed], listed
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    ended = snoozes.patch(
        name=made["name"], updateMask="interval.endTime", body={"interval": {"endTime": zulu(now)}}
    ).execute()
    assert ended["interval"]["endTime"].startswith(zulu(now).removesuffix("Z")), ended


def zulu(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@check
def uptime_checks_by_discovery() -> None:
    checks = monitoring_api().uptimeCheckConfigs()
    project = f"projects/{SITE['silence'][0]['project']}"
    found = checks.list(parent=project).execute()["uptimeCheckConfigs"]
    name = found[0]["name"]
    assert "disabled" not in checks.get(name=name).execute()
    assert checks.patch(name=name, updateMask="disabled", body={"disabled": True}).execute()["disabled"] is True
    assert checks.get(name=name).execute()["disabled"] is True
    assert not checks.patch(name=name, updateMask="disabled", body={"disabled": False}).execute().get("disabled", False)


def cloudflare_api() -> cloudflare.Cloudflare:
    settings = CONFIG["cloudflare"]["sandbox"]
    return cloudflare.Cloudflare(
        api_token=Path(settings["token_file"]).read_text().strip(),
        base_url=settings["api_url"],
        max_retries=0,
        _strict_response_validation=True,
    )


@check
def cloudflare_token() -> None:
    assert cloudflare_api().user.tokens.verify().status == "active"


@check
def cloudflare_single_redirect() -> None:
    client, redirect = cloudflare_api(), SITE["redirect"]
    zone = redirect["zone_id"]
    ruleset = client.rulesets.phases.get("http_request_dynamic_redirect", zone_id=zone)
    rule = next(rule for rule in ruleset.rules if rule.ref == redirect["ref"])
    assert rule.enabled is False
    others = [rule.to_dict() for rule in ruleset.rules if rule.ref != redirect["ref"]]
    for wanted in (True, False):
        edited = client.rulesets.rules.edit(
            rule.id,
            ruleset_id=ruleset.id,
            zone_id=zone,
            action="redirect",
            action_parameters=rule.action_parameters.to_dict(),
            description=rule.description,
            enabled=wanted,
            expression=rule.expression,
            ref=rule.ref,
        )
        # The client's type for this answer is "a ruleset, or anything": hold it to the first.
        edited = EditedRuleset.model_validate(edited)
        assert next(rule.enabled for rule in edited.rules if rule.ref == redirect["ref"]) is wanted
        assert [rule.to_dict() for rule in edited.rules if rule.ref != redirect["ref"]] == others
        assert control("GET", "/state")["sites"]["site"]["redirect"]["configured"] is wanted


@check
def cloudflare_page_rule() -> None:
    client, zone = cloudflare_api(), SITE["redirect"]["zone_id"]
    rules = client.page_rules.list(zone_id=zone)
    rule = client.page_rules.get(rules[0].id, zone_id=zone)
    assert rule.status == "disabled"
    for wanted in ("active", "disabled"):
        assert client.page_rules.edit(rule.id, zone_id=zone, status=wanted).status == wanted
    assert client.page_rules.get(rule.id, zone_id=zone).targets[0].constraint.value == rule.targets[0].constraint.value


@check
def cloudflare_worker_route() -> None:
    client, zone = cloudflare_api(), SITE["redirect"]["zone_id"]
    before = [route.to_dict() for route in client.workers.routes.list(zone_id=zone)]
    pattern = f"{SITE['redirect']['hosts'][0]}/*"
    (route,) = (route for route in client.workers.routes.list(zone_id=zone) if route.pattern == pattern)
    assert route.script is None
    assert client.workers.routes.update(route.id, zone_id=zone, pattern=pattern, script="standby").script == "standby"
    assert control("GET", "/state")["sites"]["site"]["redirect"]["configured"] is True
    assert client.workers.routes.update(route.id, zone_id=zone, pattern=pattern).script is None
    assert client.workers.routes.get(route.id, zone_id=zone).pattern == pattern
    made = client.workers.routes.create(zone_id=zone, pattern=f"other.{pattern}", script="standby")
    client.workers.routes.delete(made.id, zone_id=zone)
    assert [route.to_dict() for route in client.workers.routes.list(zone_id=zone)] == before


@check
def cloudflare_refusals_are_typed() -> None:
    client = cloudflare_api().with_options(api_token="0" * 40)
    try:
        client.rulesets.phases.get("http_request_dynamic_redirect", zone_id=SITE["redirect"]["zone_id"])
    except cloudflare.APIStatusError as error:
        assert error.status_code in (400, 401, 403), error
        assert error.body["errors"], error.body
    else:
        raise AssertionError("a wrong token was taken")


def calls() -> set[str]:
    """The calls in the journal, without what differs from call to call."""
    found = set()
    for call in control("GET", "/journal"):
        # A HEAD keeps a connection warm; the receiver of a webhook is nobody's API.
        if call["method"] == "HEAD" or call["api"] == "webhook":
            continue
        path = re.sub(r"/(snoozes|rules|rulesets)/(?!phases)[^/?]+", r"/\1/*", call["path"])
        path = re.sub(r"/service-accounts/[^/]+/token(\?scopes=.*)?$", "/service-accounts/*/token", path)
        path = re.sub(r"pageToken=[^&]*", "pageToken=*", path)
        query = "?" + "&".join(sorted(part for part in path.partition("?")[2].split("&") if relevant(part)))
        found.add(f"{call['api']} {call['method']} {path.partition('?')[0]}{query.rstrip('?')}")
    return found


def relevant(parameter: str) -> bool:
    """`alt=json` and `$alt` are the clients' way to ask for JSON, which is what they get anyway."""
    return bool(parameter) and parameter.partition("=")[0] not in ("alt", "$alt", "%24alt", "prettyPrint")


def calls_of_the_daemon(config: Path) -> set[str]:
    """Home loses its web server and gets it back; what the daemon called meanwhile."""
    control("DELETE", "/journal")
    log = (DIRECTORY / "daemon.log").open("ab")
    daemon = subprocess.Popen([os.environ["PILOTLIGHT"], "run", "--config", config], stdout=log, stderr=log)
    try:
        until("the daemon is ready", daemon_is_ready)
        control("POST", "/home/refusing")
        until("the failover is over", lambda: switched(on=True))
        control("POST", "/home/serving")
        until("visitors are home again", lambda: switched(on=False))
    finally:
        daemon.terminate()
        daemon.wait(timeout=20)
    return calls()


def daemon_is_ready() -> bool:
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(5)
        try:
            admin.connect(CONFIG["admin"]["listen"].removeprefix("unix:"))
            admin.sendall(b"GET /readyz HTTP/1.1\r\nhost: pilotlight\r\nconnection: close\r\n\r\n")
            return b" 200 " in admin.recv(64)
        except OSError:
            return False


def config_with_the_other_kinds() -> Path:
    """The sandbox's config with a Page Rule, an uptime check and the metadata server instead."""
    text = Path(os.environ["CONFIG"]).read_text()
    rule = cloudflare_api().page_rules.list(zone_id=SITE["redirect"]["zone_id"])[0].id
    project = f"projects/{GATE['project']}"
    uptime = monitoring_api().uptimeCheckConfigs().list(parent=project).execute()["uptimeCheckConfigs"][0]["name"]
    changes = [
        (r'kind = "single_redirect"\nref = .*\nstatus_code = .*\nexcluded_paths = .*', f'kind = "page_rule"\nrule_id = "{rule}"'),
        (r'kind = "snooze"\nalert_policy = .*', f'kind = "uptime_check"\ncheck_id = "{uptime.rpartition("/")[2]}"'),
        (r'kind = "service_account_key"\nkey_file = .*', 'kind = "metadata_server"'),
        (r"edge_url = .*\n", ""),
        (r'state_dir = ".*"', f'state_dir = "{DIRECTORY / "state-of-others"}"'),
    ]
    for pattern, replacement in changes:
        text, times = re.subn(pattern, replacement, text)
        assert times == 1, pattern
    path = DIRECTORY / "others.toml"
    path.write_text(text)
    return path


def switched(*, on: bool) -> bool:
    site = control("GET", "/state")["sites"]["site"]
    silence = site["silence"]
    muted = silence["snoozed_for"] is not None or silence["check_disabled"]
    return site["gate"]["configured"] == site["redirect"]["configured"] == muted == on


def until(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECS
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not seen within {PATIENCE_SECS} s: {what}")
        time.sleep(0.2)


def main() -> int:
    wanted = calls_of_the_daemon(Path(os.environ["CONFIG"]))
    wanted |= calls_of_the_daemon(config_with_the_other_kinds())
    control("DELETE", "/journal")
    failed = 0
    for run in CHECKS:
        name = run.__name__.replace("_", " ")
        try:
            run()
            print(f"ok      {name}")
        except Exception as error:  # noqa: BLE001: each check says its own
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}")
    made = calls()
    for call in sorted(wanted):
        missing = call not in made
        failed += missing
        print(f"{'NO CLIENT MADE' if missing else 'covered'} {call}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

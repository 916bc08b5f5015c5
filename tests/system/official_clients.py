"""Drives a running sandbox with the providers' official Python clients, strictly, in every call that pilotlight makes.

usage: official_clients.py CONTROL_ADDRESS SANDBOX_DIRECTORY
needs: google-api-python-client google-cloud-run google-auth cloudflare
"""

import base64
import datetime
import json
import sys
import urllib.request

import cloudflare
from cloudflare.types.rulesets import rule_edit_response
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import ServicesRestTransport
from google.oauth2 import service_account
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

PROJECT = "sandbox-project"
SERVICE = f"projects/{PROJECT}/locations/europe-west1/services/site-standby"
ZONE = "5a9db0c5a9db0c5a9db0c5a9db0c5a9d"
PHASE = "http_request_dynamic_redirect"
READ_ONLY = ("id", "version", "last_updated")
MORE_RIGHTS = [
    "run.services.update",
    "run.operations.get",
    "monitoring.uptimeCheckConfigs.get",
    "monitoring.uptimeCheckConfigs.update",
    "monitoring.alertPolicies.list",
    "monitoring.alertPolicies.update",
    "monitoring.snoozes.create",
    "monitoring.snoozes.list",
    "monitoring.snoozes.update",
    "secretmanager.versions.access",
]


class Control:
    def __init__(self, address):
        self.base = f"http://{address}"

    def get(self, path):
        with urllib.request.urlopen(self.base + path) as answer:
            return json.load(answer)

    def post(self, path, body):
        data = json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.base + path, data=data, method="POST")) as answer:
            return json.load(answer)


def google_api(name, version, address, credentials):
    options = {"api_endpoint": f"http://{address}/"}
    return build(name, version, credentials=credentials, client_options=options, static_discovery=True, cache_discovery=False)


def policy(services):
    read = services.getIamPolicy(resource=SERVICE, options_requestedPolicyVersion=3).execute()
    read["bindings"].append({"role": "roles/run.invoker", "members": ["allUsers"]})
    written = services.setIamPolicy(resource=SERVICE, body={"policy": read}).execute()
    assert any("allUsers" in binding["members"] for binding in written["bindings"])
    assert written["etag"] != read["etag"]
    try:
        services.setIamPolicy(resource=SERVICE, body={"policy": read}).execute()
        raise AssertionError("a stale etag was taken")
    except HttpError as error:
        assert error.status_code == 409, error
    held = services.testIamPermissions(resource=SERVICE, body={"permissions": ["run.services.get", "run.x"]}).execute()
    assert held == {"permissions": ["run.services.get"]}, held


def operation(api):
    services = api.projects().locations().services()
    started = services.patch(name=SERVICE, updateMask="scaling.minInstanceCount", body={"scaling": {"minInstanceCount": 1}}).execute()
    assert "done" not in started
    while not started.get("done"):
        started = api.projects().locations().operations().get(name=started["name"]).execute()
    assert started["response"]["scaling"]["minInstanceCount"] == 1
    assert services.get(name=SERVICE).execute()["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def monitoring(api):
    checks = api.projects().uptimeCheckConfigs()
    check = f"projects/{PROJECT}/uptimeCheckConfigs/site-uptime"
    assert "disabled" not in checks.get(name=check).execute()
    assert checks.patch(name=check, updateMask="disabled", body={"disabled": True}).execute()["disabled"] is True
    policies = api.projects().alertPolicies()
    alert = policies.list(name=f"projects/{PROJECT}").execute()["alertPolicies"][0]["name"]
    assert policies.patch(name=alert, updateMask="enabled", body={"enabled": False}).execute()["enabled"] is False

    def at(hours):
        moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    snoozes = api.projects().snoozes()
    body = {"displayName": "x", "criteria": {"policies": [alert]}, "interval": {"startTime": at(0), "endTime": at(1)}}
    made = snoozes.create(parent=f"projects/{PROJECT}", body=body).execute()
    snoozes.patch(name=made["name"], updateMask="interval.endTime", body={"interval": {"endTime": at(0)}}).execute()
    assert len(snoozes.list(parent=f"projects/{PROJECT}").execute()["snoozes"]) == 1


def secret(api):
    name = f"projects/{PROJECT}/secrets/cloudflare-api-key/versions/latest"
    version = api.projects().secrets().versions().access(name=name).execute()
    return base64.b64decode(version["payload"]["data"]).decode().strip()


def run_rest(address, credentials):
    client = run_v2.ServicesClient(transport=ServicesRestTransport(host=address, url_scheme="http", credentials=credentials))
    service = client.get_service(name=SERVICE)
    assert service.terminal_condition.state.name == "CONDITION_SUCCEEDED" and service.uri
    read = client.get_iam_policy(request={"resource": SERVICE, "options": {"requested_policy_version": 3}})
    assert read.version == 3 and read.etag
    client.set_iam_policy(request={"resource": SERVICE, "policy": read})
    change = {"service": run_v2.Service(name=SERVICE, invoker_iam_disabled=True), "update_mask": {"paths": ["invoker_iam_disabled"]}}
    assert client.update_service(request=change).result(timeout=20).invoker_iam_disabled


def redirects(address, token):
    client = cloudflare.Cloudflare(api_token=token, base_url=f"http://{address}/client/v4", _strict_response_validation=True)
    assert client.user.tokens.verify().status == "active"
    ruleset = client.rulesets.phases.get(PHASE, zone_id=ZONE)
    rule = next(rule for rule in ruleset.rules if rule.ref == "pilotlight_site")
    body = {name: value for name, value in rule.to_dict().items() if name not in READ_ONLY} | {"enabled": True}
    edited = client.rulesets.rules.edit(rule.id, ruleset_id=ruleset.id, zone_id=ZONE, **body)
    # The client's own type is a union with `object`; the model of the ruleset is the strict one.
    edited = edited if isinstance(edited, dict) else edited.to_dict()
    edited = rule_edit_response.Ruleset.model_validate(edited)
    assert int(edited.version) == int(ruleset.version) + 1
    dry = client.rulesets.rules.edit(rule.id, ruleset_id=ruleset.id, zone_id=ZONE, dry_run=True, **body)
    assert dry is None, dry
    assert [item.phase for item in client.rulesets.list(zone_id=ZONE)] == [PHASE]
    page_rule = client.page_rules.list(zone_id=ZONE, status="disabled")[0]
    assert client.page_rules.edit(page_rule.id, zone_id=ZONE, status="active").status == "active"
    assert client.page_rules.get(page_rule.id, zone_id=ZONE).status == "active"
    record = next(iter(client.dns.records.list(zone_id=ZONE)))
    patch = {"id": record.id, "type": "A", "name": record.name, "content": "203.0.113.12", "ttl": 1, "proxied": True}
    assert client.dns.records.batch(zone_id=ZONE, patches=[patch]).patches[0].content == "203.0.113.12"


def main(control_address, directory):
    control = Control(control_address)
    at = control.get("/addresses")
    control.post("/rights", MORE_RIGHTS)
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    credentials = service_account.Credentials.from_service_account_file(f"{directory}/google-key.json", scopes=scopes)
    run = google_api("run", "v2", at["run"], credentials)
    policy(run.projects().locations().services())
    operation(run)
    monitoring(google_api("monitoring", "v3", at["monitoring"], credentials))
    run_rest(at["run"], credentials)
    redirects(at["cloudflare"], secret(google_api("secretmanager", "v1", at["secrets"], credentials)))
    print("the official clients are content")


if __name__ == "__main__":
    main(*sys.argv[1:])

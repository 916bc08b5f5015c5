//! Google's token endpoint and the metadata server of a VM.

use serde_json::{Value, json};

use super::identity::SERVICE_ACCOUNT;
use super::serve::{Asked, Reply, decode};
use super::world::State;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Answers one call to the token endpoint; errors have OAuth's shape, not Google's.
pub(super) fn answer(state: &mut State, asked: &Asked, own_uri: &str) -> Reply {
    if asked.method != "POST" || asked.path != "/token" {
        return super::google::no_route(&asked.path);
    }
    exchange(state, asked, own_uri).unwrap_or_else(|(error, description)| {
        Reply::json(400, &json!({"error": error, "error_description": description}))
    })
}

fn exchange(state: &mut State, asked: &Asked, own_uri: &str) -> Result<Reply, (&'static str, String)> {
    let form = String::from_utf8_lossy(&asked.body).into_owned();
    let field = |name: &str| {
        let pair = form
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
        pair.map(|(_, value)| decode(value)).unwrap_or_default()
    };
    if field("grant_type") != GRANT {
        return Err((
            "unsupported_grant_type",
            format!("Invalid grant_type: {}", field("grant_type")),
        ));
    }
    let now = state.now();
    let claims = state.identity.check_assertion(&field("assertion"), own_uri, now);
    let claims = claims.map_err(|description| ("invalid_grant", description))?;
    if let Some(audience) = claims.get("target_audience").and_then(Value::as_str) {
        let token = state.identity.id_token(audience, now);
        return Ok(Reply::json(200, &json!({"id_token": token})));
    }
    let State { identity, chance, .. } = state;
    let token = identity.issue(now, None, chance);
    Ok(Reply::json(
        200,
        &json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}),
    ))
}

/// Answers one call to the metadata server.
pub(super) fn metadata(state: &mut State, asked: &Asked) -> Reply {
    let reply = if asked.header("metadata-flavor") == Some("Google") {
        look_up(state, asked)
    } else {
        Reply::html(
            403,
            "<p>Your client does not have permission: Missing Metadata-Flavor:Google header.\n",
        )
    };
    reply
        .with("metadata-flavor", "Google")
        .with("server", "Metadata Server for VM")
}

fn look_up(state: &mut State, asked: &Asked) -> Reply {
    let now = state.now();
    let prefix = "/computeMetadata/v1/instance/service-accounts/";
    let rest = asked.path.strip_prefix(prefix).and_then(|rest| rest.split_once('/'));
    let Some((_, what)) = rest.filter(|(account, _)| [SERVICE_ACCOUNT, "default"].contains(account)) else {
        return match asked.path.as_str() {
            "/" => Reply::text(200, "computeMetadata/\n"),
            "/computeMetadata/v1/project/project-id" => Reply::text(200, super::world::PROJECT),
            path => super::google::no_route(path),
        };
    };
    match what {
        "token" => {
            let State { identity, chance, .. } = state;
            let token = identity.issue(now, None, chance);
            Reply::json(
                200,
                &json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}),
            )
        }
        "email" => Reply::text(200, SERVICE_ACCOUNT),
        "scopes" => Reply::text(200, "https://www.googleapis.com/auth/cloud-platform\n"),
        "" if asked.parameter("recursive").as_deref() == Some("true") => Reply::json(
            200,
            &json!({
                "aliases": ["default"],
                "email": SERVICE_ACCOUNT,
                "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            }),
        ),
        "identity" => match asked.parameter("audience") {
            Some(audience) => Reply::text(200, state.identity.id_token(&audience, now).unwrap_or_default()),
            None => Reply::text(400, "non-empty audience parameter required\n"),
        },
        _ => super::google::no_route(&asked.path),
    }
}

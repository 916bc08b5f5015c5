//! The eyes of a site, from its settings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper::header::HeaderValue;
use secrecy::ExposeSecret;

use crate::config::{self, Site};
use crate::probe::edge::{EdgeEye, EdgeEyeSettings};
use crate::probe::expect::{Expect, Marker, StatusSet};
use crate::probe::fetch::Way;
use crate::probe::http::{HttpProbe, HttpProbeSettings};
use crate::probe::references::{Question, Reference, References, ReferencesSettings};
use crate::probe::standby::{StandbyEye, StandbyEyeSettings};
use crate::probe::target::{HostPort, Target};
use crate::probe::visitor::{Door, Leads, VisitorEye, VisitorEyeSettings};
use crate::probe::{Look, Pass};
use crate::tls;
use crate::toggle::google_id_token::IdToken;

use super::Shared;
use super::credentials::wall;

/// The mirror's references answer within this time or not at all.
const REFERENCES_TIMEOUT: Duration = Duration::from_secs(3);
/// The standby's own eye gives up after this time ...
const STANDBY_TIMEOUT: Duration = Duration::from_secs(10);
/// ... but the first try of a run has a cold start's patience.
const STANDBY_COLD_TIMEOUT: Duration = Duration::from_secs(30);

/// All eyes of a site.
pub(super) struct Eyes {
    pub(super) probe: Arc<HttpProbe>,
    pub(super) visitor: Arc<dyn Look>,
    pub(super) standby: Arc<dyn Look>,
    pub(super) edge: Option<Arc<dyn Look>>,
    /// To be kept fresh by a task of its own.
    pub(super) pass: Option<IdToken>,
    pub(super) mirror: Arc<References>,
}

impl Eyes {
    pub(super) fn build(site: &Site, shared: &Shared) -> anyhow::Result<Self> {
        let way = |connect_to: Option<&config::HostPort>, ca_file: Option<&Path>| -> anyhow::Result<Way> {
            Ok(Way {
                connect_to: connect_to.map(host_port),
                tls: tls::client_config(ca_file)?,
                resolver: shared.resolver.clone(),
            })
        };
        let visitor = &site.visitor;
        let public = Door {
            target: Target::parse(site.url.as_str())?,
            way: way(visitor.connect_to.as_ref(), visitor.ca_file.as_deref())?,
            marker: marker(&site.home),
        };
        let standby = Door {
            target: Target::parse(site.standby.url.as_str())?,
            way: way(site.standby.connect_to.as_ref(), site.standby.ca_file.as_deref())?,
            marker: marker(&site.standby.marker),
        };
        let probe = HttpProbe::new(HttpProbeSettings {
            target: Target::parse(site.probe.url.as_str())?,
            way: way(site.probe.connect_to.as_ref(), site.probe.ca_file.as_deref())?,
            timeout: site.probe.timeout,
            expect: Expect {
                status: StatusSet::parse([
                    format!("{}-{}", site.probe.status.start(), site.probe.status.end()).as_str()
                ])?,
                marker: Some(marker(&site.home)),
            },
        });
        let edge = match &visitor.edge_url {
            None => None,
            Some(url) => {
                let page = Door {
                    target: Target::parse(url.as_str())?,
                    ..public.clone()
                };
                let settings = EdgeEyeSettings {
                    page,
                    standby_marker: standby.marker.clone(),
                    timeout: visitor.timeout,
                };
                Some(Arc::new(EdgeEye::new(settings)) as Arc<dyn Look>)
            }
        };
        let pass = pass(&site.standby, shared)?;
        Ok(Self {
            probe: Arc::new(probe),
            mirror: Arc::new(mirror(site, shared)?),
            edge,
            visitor: Arc::new(VisitorEye::new(VisitorEyeSettings {
                home: public.clone(),
                standby: standby.clone(),
                leads: match &site.redirect {
                    Some(config::Redirect::WorkerRoute { .. }) => Leads::InPlace,
                    _ => Leads::Away,
                },
                timeout: visitor.timeout,
            })),
            standby: Arc::new(StandbyEye::new(StandbyEyeSettings {
                home: public,
                standby,
                pass: pass.clone().map(shown),
                timeout: STANDBY_TIMEOUT,
                cold_timeout: STANDBY_COLD_TIMEOUT,
            })),
            pass,
        })
    }
}

/// What lets us in at a closed standby: an ID token for its own URL.
fn pass(standby: &config::Standby, shared: &Shared) -> anyhow::Result<Option<IdToken>> {
    let Some(name) = &standby.google else {
        return Ok(None);
    };
    let (client, _) = shared.google.get(name).context("google credential")?;
    let audience = standby.url.origin().ascii_serialization();
    Ok(Some(IdToken::new(
        client.tokens().clone(),
        audience,
        wall(&shared.clock),
    )))
}

/// The token as the eye shows it.
fn shown(token: IdToken) -> Pass {
    Pass::new(move || {
        let bearer = format!("Bearer {}", token.get()?.expose_secret());
        let mut value = HeaderValue::try_from(bearer).ok()?;
        value.set_sensitive(true);
        Some(value)
    })
}

pub(super) fn mirror(site: &Site, shared: &Shared) -> anyhow::Result<References> {
    let way = Way {
        connect_to: None,
        tls: tls::client_config(site.references.ca_file.as_deref())?,
        resolver: shared.resolver.clone(),
    };
    let reference = |target: &config::Reference| -> anyhow::Result<Reference> {
        let question = match target {
            config::Reference::Page(url) => Question::Http(Target::parse(url.as_str())?),
            config::Reference::Tcp(place) => Question::Tcp(host_port(place)),
        };
        Ok(Reference {
            question,
            way: way.clone(),
        })
    };
    Ok(References::new(ReferencesSettings {
        references: site
            .references
            .targets
            .iter()
            .map(reference)
            .collect::<Result<_, _>>()?,
        timeout: REFERENCES_TIMEOUT,
        wall: wall(&shared.clock),
    }))
}

pub(super) fn host_port(place: &config::HostPort) -> HostPort {
    HostPort {
        host: place.host.clone(),
        port: place.port,
    }
}

pub(super) fn marker(marker: &config::Marker) -> Marker {
    match marker {
        config::Marker::Header { name, value } => Marker::Header {
            name: name.clone(),
            value: value.clone(),
        },
        config::Marker::Body(text) => Marker::Body(text.clone()),
    }
}

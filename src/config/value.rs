//! Reads single values: URLs, hosts, markers, statuses. Objections never repeat a value that may hold a secret.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use tracing_subscriber::filter::{LevelFilter, Targets};
use url::Url;

use super::settings::{HostPort, Listen, Marker, Reference};

/// Why a value will not do, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) wrong: String,
    pub(super) fix: String,
}

impl Objection {
    pub(super) fn new(wrong: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            wrong: wrong.into(),
            fix: fix.into(),
        }
    }
}

/// An http or https URL with a host and without secrets.
pub(super) fn url(text: &str) -> Result<Url, Objection> {
    let parsed = Url::parse(text);
    if !text.is_ascii() {
        return Err(match parsed.as_ref().ok().and_then(Url::host_str) {
            Some(host) if host.contains("xn--") => {
                Objection::new("has a host name that is not ASCII", format!("write it as {host}"))
            }
            _ => Objection::new("is not ASCII", "write the host as xn--... and encode the path with %"),
        });
    }
    let url = parsed.map_err(|error| Objection::new(format!("is not a URL: {error}"), example("https://host/path")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Objection::new(
            "is neither http nor https",
            example("https://host/path"),
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Objection::new(
            "holds a user name or password",
            "take them out: secrets belong into files of their own",
        ));
    }
    if url.fragment().is_some() {
        return Err(Objection::new("has a #fragment, which is never sent", "take it out"));
    }
    Ok(url)
}

fn example(text: &str) -> String {
    format!("write it as in \"{text}\"")
}

/// A `host:port` to dial.
pub(super) fn host_port(text: &str) -> Result<HostPort, Objection> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(HostPort {
            host: address.ip().to_string(),
            port: address.port(),
        });
    }
    let objection = || {
        Objection::new(
            "is not host:port",
            "write it as in \"192.0.2.10:443\" or \"[2001:db8::10]:443\"",
        )
    };
    let (name, port) = text.rsplit_once(':').ok_or_else(objection)?;
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(objection)?;
    Ok(HostPort {
        host: host(name)?,
        port,
    })
}

/// A host name, in lower case.
pub(super) fn host(text: &str) -> Result<String, Objection> {
    if !text.is_ascii() {
        let ascii = Url::parse(&format!("http://{text}/")).ok();
        let ascii = ascii
            .as_ref()
            .and_then(Url::host_str)
            .filter(|host| host.contains("xn--"));
        let ascii = ascii.unwrap_or("xn--...");
        return Err(Objection::new(
            "has a host name that is not ASCII",
            format!("write it as {ascii}"),
        ));
    }
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if text.split('.').all(label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(Objection::new(
            "is not a host name",
            "write the bare name, without scheme, port and path: \"site.example\"",
        ))
    }
}

/// A host that a redirect covers: a name, or `*.name` for all below.
pub(super) fn covered_host(text: &str) -> Result<String, Objection> {
    match text.strip_prefix("*.") {
        Some(parent) => host(parent).map(|parent| format!("*.{parent}")),
        None => host(text),
    }
}

/// A Worker route's pattern for all of a host: `site.example/*`, or `*.site.example/*` for all below.
pub(super) fn route_pattern(text: &str) -> Result<String, Objection> {
    let host = text.strip_suffix("/*").and_then(|host| covered_host(host).ok());
    host.map(|host| format!("{host}/*")).ok_or_else(|| {
        Objection::new(
            "is not a host followed by /*",
            format!("{}, without scheme and port", example("site.example/*")),
        )
    })
}

/// A path prefix that a redirect leaves alone.
pub(super) fn excluded_path(text: &str) -> Result<String, Objection> {
    if text.starts_with('/') && text.len() > 1 && text.is_ascii() {
        Ok(text.to_owned())
    } else {
        Err(Objection::new("is not a path below /", example("/healthz")))
    }
}

/// A header marker, `name: value`.
pub(super) fn header_marker(text: &str) -> Result<Marker, Objection> {
    let objection = || Objection::new("is not a header", example("x-served-by: home"));
    let (name, value) = text.split_once(':').ok_or_else(objection)?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&b);
    let visible = |b: u8| b == b' ' || b.is_ascii_graphic();
    if name.is_empty() || value.is_empty() || !name.bytes().all(token) || !value.bytes().all(visible) {
        return Err(objection());
    }
    Ok(Marker::Header {
        name,
        value: value.to_owned(),
    })
}

/// A body marker.
pub(super) fn body_marker(text: &str) -> Result<Marker, Objection> {
    if text.trim().is_empty() {
        return Err(Objection::new(
            "is empty, so every page would match",
            "write a text that only this page contains",
        ));
    }
    Ok(Marker::Body(text.to_owned()))
}

/// One status or a range of them.
pub(super) fn statuses(text: &str) -> Result<RangeInclusive<u16>, Objection> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse().ok().filter(|status| (200..=599).contains(status));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(Objection::new(
            "is neither a status nor a range of them",
            "write it as in \"200\" or \"200-299\"",
        )),
    }
}

/// A reference: a page or a port.
pub(super) fn reference(text: &str) -> Result<Reference, Objection> {
    match text.strip_prefix("tcp://") {
        Some(target) => host_port(target).map(Reference::Tcp),
        None if text.starts_with("http") => url(text).map(Reference::Page),
        None => Err(Objection::new(
            "is not a reference",
            "write it as in \"https://host/path\" or \"tcp://9.9.9.9:53\"",
        )),
    }
}

/// What to log: levels, and levels of targets.
pub(super) fn log_filter(text: &str) -> Result<String, Objection> {
    // A lone word that is no level would be taken for the name of a target.
    let level = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    if text.split(',').all(level) && text.parse::<Targets>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err(Objection::new(
            "is not a log level",
            "write \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\" or \"info,pilotlight::driver=debug\"",
        ))
    }
}

/// Where the admin server listens.
pub(super) fn listen(text: &str) -> Result<Listen, Objection> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.starts_with('/') {
            return Ok(Listen::Unix(PathBuf::from(path)));
        }
        return Err(Objection::new(
            "names a socket without its whole path",
            example("unix:/run/pilotlight/admin.sock"),
        ));
    }
    text.parse().map(Listen::Tcp).map_err(|_| {
        Objection::new(
            "is not an address",
            "write it as in \"127.0.0.1:9911\" or \"unix:/run/pilotlight/admin.sock\"",
        )
    })
}

/// The owner of a URL's host.
pub(super) fn url_owner(url: &Url) -> String {
    owner(
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default(),
    )
}

/// The owner of a reference.
pub(super) fn reference_owner(reference: &Reference) -> String {
    match reference {
        Reference::Page(url) => url_owner(url),
        Reference::Tcp(target) => owner(&target.host, target.port),
    }
}

/// What an owner is known by: the part of a host name that is registered, or the address.
///
/// Without the list of public suffixes this is a guess that errs on the side of "the same owner". On loopback every port is an owner.
fn owner(host: &str, port: u16) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return if address.is_loopback() {
            format!("{address}:{port}")
        } else {
            address.to_string()
        };
    }
    if bare == "localhost" {
        return format!("{bare}:{port}");
    }
    let labels: Vec<&str> = bare.rsplit('.').take(3).collect();
    let country = |top: &str| top.len() == 2;
    let shared = |second: &str| {
        matches!(
            second,
            "ac" | "co" | "com" | "edu" | "go" | "gov" | "ne" | "net" | "or" | "org"
        )
    };
    match labels.as_slice() {
        [top, second, third] if country(top) && shared(second) => format!("{third}.{second}.{top}"),
        [top, second, ..] => format!("{second}.{top}"),
        _ => bare.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_the_registered_part_of_a_name() {
        assert_eq!(owner("www.google.com", 443), "google.com");
        assert_eq!(owner("a.b.example.co.uk", 443), "example.co.uk");
        assert_eq!(owner("1.1.1.1", 53), "1.1.1.1");
        assert_eq!(owner("[2001:db8::1]", 53), "2001:db8::1");
        assert_eq!(owner("127.0.0.1", 1), "127.0.0.1:1");
        assert_eq!(owner("localhost", 2), "localhost:2");
    }

    #[test]
    fn a_host_and_port_may_be_an_ipv6_address() {
        let parsed = host_port("[2001:db8::10]:443").unwrap();
        assert_eq!(parsed.host, "2001:db8::10");
        assert_eq!(parsed.to_string(), "[2001:db8::10]:443");
        assert!(host_port("home.example").is_err());
        assert!(host_port("home.example:0").is_err());
    }

    #[test]
    fn a_url_with_a_secret_is_refused_without_repeating_it() {
        let objection = url("https://user:canary@site.example/").unwrap_err();
        assert!(!format!("{objection:?}").contains("canary"));
    }

    #[test]
    fn a_header_marker_is_a_name_and_a_value() {
        let marker = header_marker("X-Served-By:  home ").unwrap();
        assert_eq!(
            marker,
            Marker::Header {
                name: "x-served-by".to_owned(),
                value: "home".to_owned()
            }
        );
        for bad in ["x-served-by", "x-served-by:", ": home", "x served: home"] {
            assert!(header_marker(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn statuses_are_one_or_a_range() {
        assert_eq!(statuses("204").unwrap(), 204..=204);
        assert_eq!(statuses("200-299").unwrap(), 200..=299);
        for bad in ["", "2xx", "299-200", "99", "600"] {
            assert!(statuses(bad).is_err(), "{bad}");
        }
    }
}
